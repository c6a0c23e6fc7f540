package com.google.mlkit.vision.common

class InputImage {
    companion object {
        fun fromBitmap(bitmap: android.graphics.Bitmap, rotationDegrees: Int): InputImage = TODO()
    }
}
