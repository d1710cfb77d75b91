// Operations on lists of tensors in a few kernels, and the settings of autocast.

#include "shim.h"

#include <ATen/Functions.h>
#include <ATen/autocast_mode.h>

namespace {

std::vector<at::Tensor> list(const at::Tensor* const* tensors, size_t count) {
  std::vector<at::Tensor> values;
  values.reserve(count);
  for (size_t i = 0; i < count; ++i) {
    values.push_back(*tensors[i]);
  }
  return values;
}

} // namespace

extern "C" {

// Moves each of `tensors` towards its `ends` by a share `weight`, in place.
char* detcon_lerp(
    const at::Tensor* const* tensors, const at::Tensor* const* ends, size_t count, double weight) {
  return guarded([&] {
    const auto moved = list(tensors, count);
    at::_foreach_lerp_(moved, list(ends, count), weight);
  });
}

// Computes in bfloat16 what gains from it, on the CPU and on CUDA, in this thread; or no longer.
char* detcon_autocast(bool enabled) {
  return guarded([&] {
    for (const auto device : {at::kCPU, at::kCUDA}) {
      at::autocast::set_autocast_dtype(device, at::kBFloat16);
      at::autocast::set_autocast_enabled(device, enabled);
    }
    if (enabled) {
      at::autocast::increment_nesting();
    } else if (at::autocast::decrement_nesting() == 0) {
      at::autocast::clear_cache();
    }
  });
}

} // extern "C"
