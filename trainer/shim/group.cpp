// Ranks that know each other: the store, and a process group over Gloo or NCCL.

#include "shim.h"

#include <torch/csrc/distributed/c10d/ProcessGroupGloo.hpp>
#include <torch/csrc/distributed/c10d/TCPStore.hpp>

#include <dlfcn.h>

#include <cstdlib>
#include <new>
#include <stdexcept>

// Of libc10: the least level that is logged.
extern int FLAGS_caffe2_log_level;

namespace {

using std::chrono::milliseconds;

/// From which level on libtorch logs: errors, as what it warns of (a rank that is gone) is said by this program.
constexpr int ERRORS = 2;

std::vector<uint8_t> bytes(const char* text) {
  return {text, text + std::strlen(text)};
}

/// More than a `ProcessGroupNCCL` or its options take up: the rest stays unused.
constexpr size_t NCCL_SIZE = 1 << 16;

template <typename Function>
Function symbol(const char* name) {
  void* found = dlsym(RTLD_DEFAULT, name);
  if (found == nullptr) {
    throw std::runtime_error(
        std::string("libtorch_cuda.so is not loaded, or holds no NCCL of this version: no ") + name);
  }
  return reinterpret_cast<Function>(found);
}

/// `ProcessGroupNCCL` is made without its header, which needs those of CUDA and NCCL and would tie the program to them:
/// by the constructors that libtorch_cuda.so exports, in memory that is large enough for them. Everything else about it
/// is virtual in `Backend`.
c10::intrusive_ptr<c10d::Backend> nccl(
    const c10::intrusive_ptr<c10d::Store>& store, int rank, int size, milliseconds timeout) {
  using Options = c10d::Backend::Options;
  using NewOptions = void (*)(void*, bool);
  using NewGroup =
      void (*)(void*, c10::intrusive_ptr<c10d::Store>, int, int, c10::intrusive_ptr<Options>);
  const auto new_options =
      symbol<NewOptions>("_ZN4c10d16ProcessGroupNCCL7OptionsC1Eb");
  const auto new_group = symbol<NewGroup>(
      "_ZN4c10d16ProcessGroupNCCLC1EN3c1013intrusive_ptrINS_5StoreENS1_6detail34intrusive_target_default_null_typeIS3_"
      "EEEEiiNS2_INS0_7OptionsENS5_IS8_EEEE");
  void* options_memory = ::operator new(NCCL_SIZE);
  new_options(options_memory, false);
  auto options =
      c10::intrusive_ptr<Options>::unsafe_steal_from_new(static_cast<Options*>(options_memory));
  options->timeout = timeout;
  void* group_memory = ::operator new(NCCL_SIZE);
  new_group(group_memory, store, rank, size, options);
  return c10::intrusive_ptr<c10d::Backend>::unsafe_steal_from_new(
      static_cast<c10d::Backend*>(group_memory));
}

c10::intrusive_ptr<c10d::Backend> gloo_group(
    const c10::intrusive_ptr<c10d::Store>& store, int rank, int size, milliseconds timeout) {
  auto options = c10d::ProcessGroupGloo::Options::create(timeout);
  const char* interface = std::getenv("GLOO_SOCKET_IFNAME");
  options->devices.push_back(
      interface == nullptr ? c10d::ProcessGroupGloo::createDefaultDevice()
                           : c10d::ProcessGroupGloo::createDeviceForInterface(interface));
  return c10::make_intrusive<c10d::ProcessGroupGloo>(store, rank, size, options);
}

} // namespace

void DetconGroup::note(const char* what) {
  const std::lock_guard<std::mutex> lock(mutex);
  if (failure.empty()) {
    failure = what;
  }
}

void DetconGroup::mean(at::Tensor& tensor) {
  try {
    std::vector<at::Tensor> tensors{tensor};
    backend->allreduce(tensors)->wait();
    tensor.div_(size);
  } catch (const std::exception& error) {
    note(error.what());
  }
}

at::Tensor DetconGroup::gather(const at::Tensor& tensor) {
  std::vector<int64_t> shape = tensor.sizes().vec();
  shape[0] *= size;
  at::Tensor all = at::zeros(shape, tensor.options());
  try {
    std::vector<std::vector<at::Tensor>> outputs{all.chunk(size, 0)};
    std::vector<at::Tensor> inputs{tensor.contiguous()};
    backend->allgather(outputs, inputs)->wait();
  } catch (const std::exception& error) {
    note(error.what());
  }
  return all;
}

extern "C" {

void detcon_free(char* text) {
  std::free(text);
}

char* detcon_store_open(
    const char* host, uint16_t port, bool serves, int64_t timeout, DetconStore** out) {
  return guarded([&] {
    if (std::getenv("TORCH_CPP_LOG_LEVEL") == nullptr) {
      FLAGS_caffe2_log_level = ERRORS;
    }
    c10d::TCPStoreOptions options;
    options.port = port;
    options.isServer = serves;
    options.waitWorkers = false;
    options.timeout = milliseconds(timeout);
    *out = new DetconStore{c10::make_intrusive<c10d::TCPStore>(host, options)};
  });
}

void detcon_store_close(DetconStore* store) {
  delete store;
}

char* detcon_store_set(DetconStore* store, const char* key, const char* value) {
  return guarded([&] { store->store->set(key, bytes(value)); });
}

// Null where the key is not there.
char* detcon_store_get(DetconStore* store, const char* key, char** value) {
  return guarded([&] {
    *value = nullptr;
    if (store->store->check({key})) {
      const auto found = store->store->get(key);
      *value = copied(std::string(found.begin(), found.end()).c_str());
    }
  });
}

// Sets a key unless it is set.
char* detcon_store_claim(DetconStore* store, const char* key, const char* value) {
  return guarded([&] { store->store->compareSet(key, {}, bytes(value)); });
}

char* detcon_group_open(
    DetconStore* store, bool cuda, int rank, int size, int64_t timeout, DetconGroup** out) {
  return guarded([&] {
    auto open = cuda ? nccl : gloo_group;
    auto backend = open(store->store, rank, size, milliseconds(timeout));
    *out = new DetconGroup{std::move(backend), size, {}, {}};
  });
}

void detcon_group_close(DetconGroup* group) {
  delete group;
}

// The first failure of a collective, if there was one.
char* detcon_group_failure(DetconGroup* group) {
  const std::lock_guard<std::mutex> lock(group->mutex);
  return group->failure.empty() ? nullptr : copied(group->failure.c_str());
}

} // extern "C"
