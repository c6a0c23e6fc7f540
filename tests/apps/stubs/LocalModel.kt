package com.google.mlkit.common.model

class LocalModel {
    class Builder {
        fun setAssetFilePath(path: String): Builder = TODO()

        fun build(): LocalModel = TODO()
    }
}
