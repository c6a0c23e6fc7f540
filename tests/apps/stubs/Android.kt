// Declarations of Android, LiteRT and ML Kit that the exported code uses, to compile it against: nothing is defined.
package android.content

class Context {
    val assets: android.content.res.AssetManager get() = TODO()
}
