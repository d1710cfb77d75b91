// What libtorch is at hand, and what becomes of the memory that it lets go of.

#include "shim.h"

#include <climits>
#include <dlfcn.h>
#include <malloc.h>
#include <torch/headeronly/version.h>

extern "C" {

// The version that the program was built with, and the one that it found (0 where that does not say):
// major·2^56 + minor·2^48 + patch·2^40.
void detcon_versions(uint64_t* built, uint64_t* found) {
  *built = TORCH_ABI_VERSION;
  void* version = dlsym(RTLD_DEFAULT, "aoti_torch_abi_version");
  *found = version == nullptr ? 0 : reinterpret_cast<uint64_t (*)()>(version)();
}

// Tensors that are let go of stay with the process: the C library would hand each to the system, which clears its pages
// for the next.
void detcon_keep_memory() {
#ifdef __GLIBC__
  mallopt(M_MMAP_MAX, 0);
  mallopt(M_TRIM_THRESHOLD, INT_MAX);
#endif
}

} // extern "C"
