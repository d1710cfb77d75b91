// What libtorch is at hand.

#include "shim.h"

#include <dlfcn.h>
#include <torch/headeronly/version.h>

extern "C" {

// The version that the program was built with, and the one that it found (0 where that does not say):
// major·2^56 + minor·2^48 + patch·2^40.
void detcon_versions(uint64_t* built, uint64_t* found) {
  *built = TORCH_ABI_VERSION;
  void* version = dlsym(RTLD_DEFAULT, "aoti_torch_abi_version");
  *found = version == nullptr ? 0 : reinterpret_cast<uint64_t (*)()>(version)();
}

} // extern "C"
