// Declarations of TensorFlow Lite Micro that the exported code uses, to compile it against: nothing is defined.
#pragma once
#include <cstddef>
#include <cstdint>
enum TfLiteStatus { kTfLiteOk = 0, kTfLiteError = 1 };
struct TfLiteQuantizationParams {
  float scale;
  int32_t zero_point;
};
union TfLitePtrUnion {
  float* f;
  int8_t* int8;
  uint8_t* uint8;
};
struct TfLiteTensor {
  TfLitePtrUnion data;
  TfLiteQuantizationParams params;
};
namespace tflite {
struct Model;
class MicroOpResolver {};
class MicroInterpreter {
 public:
  MicroInterpreter(const Model* model, const MicroOpResolver& resolver, uint8_t* arena, size_t arena_size);
  TfLiteStatus AllocateTensors();
  TfLiteStatus Invoke();
  TfLiteTensor* input(size_t index);
  TfLiteTensor* output(size_t index);
};
}  // namespace tflite
