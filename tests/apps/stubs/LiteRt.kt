package com.google.ai.edge.litert

enum class Accelerator { CPU, GPU, NPU }

class TensorBuffer : AutoCloseable {
    fun writeInt8(data: ByteArray): Unit = TODO()

    fun writeFloat(data: FloatArray): Unit = TODO()

    fun readInt8(): ByteArray = TODO()

    fun readFloat(): FloatArray = TODO()

    override fun close(): Unit = TODO()
}

class CompiledModel : AutoCloseable {
    class Options(vararg val accelerators: Accelerator)

    fun createInputBuffers(signatureIndex: Int = 0): List<TensorBuffer> = TODO()

    fun createOutputBuffers(signatureIndex: Int = 0): List<TensorBuffer> = TODO()

    fun run(inputs: List<TensorBuffer>, outputs: List<TensorBuffer>, signatureIndex: Int = 0): Unit = TODO()

    override fun close(): Unit = TODO()

    companion object {
        fun create(
            assetManager: android.content.res.AssetManager,
            assetName: String,
            options: Options,
        ): CompiledModel = TODO()
    }
}
