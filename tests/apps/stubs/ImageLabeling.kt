package com.google.mlkit.vision.label

class ImageLabel(val text: String, val confidence: Float, val index: Int)

interface ImageLabeler : java.io.Closeable {
    fun process(image: com.google.mlkit.vision.common.InputImage): com.google.android.gms.tasks.Task<List<ImageLabel>>
}

object ImageLabeling {
    fun getClient(options: com.google.mlkit.vision.label.custom.CustomImageLabelerOptions): ImageLabeler = TODO()
}
