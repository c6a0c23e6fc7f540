package com.google.mlkit.vision.label.custom

class CustomImageLabelerOptions {
    class Builder(val model: com.google.mlkit.common.model.LocalModel) {
        fun setConfidenceThreshold(threshold: Float): Builder = TODO()

        fun setMaxResultCount(count: Int): Builder = TODO()

        fun build(): CustomImageLabelerOptions = TODO()
    }
}
