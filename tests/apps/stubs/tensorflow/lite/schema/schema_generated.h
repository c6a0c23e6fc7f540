// See micro_interpreter.h.
#pragma once
namespace tflite {
struct Model;
const Model* GetModel(const void* buffer);
}  // namespace tflite
