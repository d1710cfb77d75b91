// What the trainer calls of libtorch that tch does not bind: c10d, autograd functions over it, autocast's settings and
// operations on lists of tensors.
//
// A function that can fail returns what is wrong, to be freed with `detcon_free`, or null. Tensors go in as
// `at::Tensor*` that stay the caller's, and come out as new ones.
#pragma once

#include <ATen/core/Tensor.h>
#include <torch/csrc/distributed/c10d/Backend.hpp>
#include <torch/csrc/distributed/c10d/Store.hpp>

#include <cstring>
#include <exception>
#include <mutex>
#include <string>

/// A connection to the store of the ranks.
struct DetconStore {
  c10::intrusive_ptr<c10d::Store> store;
};

/// The ranks of a run.
///
/// A collective that fails leaves its tensor as it was and is noted here, so that failures inside a backward pass reach
/// the caller as what they are; `failure` keeps the first.
struct DetconGroup {
  c10::intrusive_ptr<c10d::Backend> backend;
  int64_t size;
  std::mutex mutex;
  std::string failure;

  /// Replaces a contiguous tensor by its mean over the ranks.
  void mean(at::Tensor& tensor);
  /// The tensors of all ranks, one after the other along the first axis.
  at::Tensor gather(const at::Tensor& tensor);
  void note(const char* what);
};

inline char* copied(const char* text) {
  return strdup(text);
}

template <typename Body>
char* guarded(Body&& body) {
  try {
    body();
    return nullptr;
  } catch (const c10::Error& error) {
    return copied(error.what_without_backtrace());
  } catch (const std::exception& error) {
    return copied(error.what());
  }
}
