"""Code that brings a photo to a member's input in the way that its accuracy was measured, by language and framing."""

from __future__ import annotations

from learn2compress.core.framing import Framing

# Android's scaling looks at four pixels around each point: of a much larger photo it would leave out the rest.
_KOTLIN_HALVED = """\
    while (fitted.width >= 2 * width || fitted.height >= 2 * height) {
        val across = if (fitted.width >= 2 * width) fitted.width / 2 else fitted.width
        val down = if (fitted.height >= 2 * height) fitted.height / 2 else fitted.height
        fitted = Bitmap.createScaledBitmap(fitted, across, down, true)
    }
    return Bitmap.createScaledBitmap(fitted, width, height, true)
}
"""
_KOTLIN_CROP = (
    """
// Crops the photo to its centre and scales it to the model's size, as the accuracy was measured. By halves while it
// is much larger: at once, Android would leave out most of its pixels.
fun fitted(photo: Bitmap, width: Int, height: Int): Bitmap {
    val scale = minOf(photo.width.toFloat() / width, photo.height.toFloat() / height)
    val cropWidth = (width * scale).roundToInt()
    val cropHeight = (height * scale).roundToInt()
    val left = (photo.width - cropWidth) / 2
    val top = (photo.height - cropHeight) / 2
    var fitted = Bitmap.createBitmap(photo, left, top, cropWidth, cropHeight)
"""
    + _KOTLIN_HALVED
)
_KOTLIN_SQUEEZE = (
    """
// Squeezes the photo into the model's size, as the accuracy was measured. By halves while it is much larger: at
// once, Android would leave out most of its pixels.
fun fitted(photo: Bitmap, width: Int, height: Int): Bitmap {
    var fitted = photo
"""
    + _KOTLIN_HALVED
)
_SWIFT_CROP = """
/// Scales the photo and crops it to the centre, as the accuracy was measured.
func fitted(_ photo: UIImage, width: CGFloat, height: CGFloat) -> UIImage {
    let scale = max(width / photo.size.width, height / photo.size.height)
    let size = CGSize(width: photo.size.width * scale, height: photo.size.height * scale)
    let origin = CGPoint(x: (width - size.width) / 2, y: (height - size.height) / 2)
    let format = UIGraphicsImageRendererFormat()
    format.scale = 1
    return UIGraphicsImageRenderer(size: CGSize(width: width, height: height), format: format)
        .image { _ in photo.draw(in: CGRect(origin: origin, size: size)) }
}
"""
_SWIFT_SQUEEZE = """
/// Squeezes the photo into the model's size, as the accuracy was measured.
func fitted(_ photo: UIImage, width: CGFloat, height: CGFloat) -> UIImage {
    let size = CGSize(width: width, height: height)
    let format = UIGraphicsImageRendererFormat()
    format.scale = 1
    return UIGraphicsImageRenderer(size: size, format: format)
        .image { _ in photo.draw(in: CGRect(origin: .zero, size: size)) }
}
"""
KOTLIN: dict[Framing, str] = {"crop": _KOTLIN_CROP, "squeeze": _KOTLIN_SQUEEZE}
KOTLIN_IMPORTS: dict[Framing, str] = {"crop": "import kotlin.math.roundToInt\n", "squeeze": ""}
SWIFT: dict[Framing, str] = {"crop": _SWIFT_CROP, "squeeze": _SWIFT_SQUEEZE}
PYTHON: dict[Framing, str] = {
    "crop": "ImageOps.fit(photo, (width, height), Image.Resampling.BICUBIC)",
    "squeeze": "photo.resize((width, height), Image.Resampling.BICUBIC)",
}
