// These do as Android's do, so that what the code makes of a photo can be looked at.
package android.graphics

import kotlin.math.floor
import kotlin.math.roundToInt

class Matrix {
    var degrees = 0f
        private set

    fun postRotate(degrees: Float): Boolean {
        this.degrees += degrees
        return true
    }
}

/** Opaque pixels, 0xAARRGGBB, row by row. */
class Bitmap private constructor(val width: Int, val height: Int, private val pixels: IntArray) {
    enum class Config { ARGB_8888 }

    fun getPixels(pixels: IntArray, offset: Int, stride: Int, x: Int, y: Int, width: Int, height: Int) {
        for (row in 0 until height) {
            for (column in 0 until width) pixels[offset + row * stride + column] = at(x + column, y + row)
        }
    }

    private fun at(x: Int, y: Int): Int = pixels[y * width + x]

    /** Weighs the four pixels around a point, and no others. */
    private fun between(x: Double, y: Double): Int {
        val (left, top) = floor(x) to floor(y)
        val columns = listOf(left, left + 1).map { it.toInt().coerceIn(0, width - 1) }
        val rows = listOf(top, top + 1).map { it.toInt().coerceIn(0, height - 1) }
        return listOf(24, 16, 8, 0).sumOf { shift ->
            val above = weighed(columns, rows[0], x - left, shift)
            val below = weighed(columns, rows[1], x - left, shift)
            (above + (below - above) * (y - top)).roundToInt() shl shift
        }
    }

    private fun weighed(columns: List<Int>, row: Int, share: Double, shift: Int): Double {
        val (left, right) = columns.map { (at(it, row) ushr shift) and 0xFF }
        return left + (right - left) * share
    }

    companion object {
        fun createBitmap(colors: IntArray, width: Int, height: Int, config: Config): Bitmap {
            require(colors.size == width * height && config == Config.ARGB_8888)
            return Bitmap(width, height, colors)
        }

        fun createBitmap(source: Bitmap, x: Int, y: Int, width: Int, height: Int): Bitmap {
            require(x >= 0 && y >= 0 && width > 0 && height > 0)
            require(x + width <= source.width && y + height <= source.height)
            return Bitmap(width, height, IntArray(width * height) { source.at(x + it % width, y + it / width) })
        }

        /** Turns clockwise, by quarters. */
        fun createBitmap(
            source: Bitmap,
            x: Int,
            y: Int,
            width: Int,
            height: Int,
            matrix: Matrix,
            filter: Boolean,
        ): Bitmap {
            require(!filter && matrix.degrees.toInt() % 90 == 0)
            var turned = createBitmap(source, x, y, width, height)
            repeat(matrix.degrees.toInt() / 90) { turned = turned.turned() }
            return turned
        }

        fun createScaledBitmap(source: Bitmap, width: Int, height: Int, filter: Boolean): Bitmap {
            require(filter)
            val (across, down) = source.width.toDouble() / width to source.height.toDouble() / height
            return Bitmap(
                width,
                height,
                IntArray(width * height) {
                    source.between((it % width + 0.5) * across - 0.5, (it / width + 0.5) * down - 0.5)
                },
            )
        }
    }

    private fun turned(): Bitmap =
        Bitmap(height, width, IntArray(pixels.size) { at(it / height, height - 1 - it % height) })
}
