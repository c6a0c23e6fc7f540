package android.media

object ThumbnailUtils {
    fun extractThumbnail(source: android.graphics.Bitmap, width: Int, height: Int): android.graphics.Bitmap = TODO()
}
