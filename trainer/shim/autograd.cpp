// Functions of the tensors of all ranks, with gradients.
//
// Each rank differentiates its own loss; what is minimised is the mean of the losses. A gradient that reaches another
// rank's tensors is therefore summed over the losses here, and the mean over the ranks is taken of the weights' gradients
// at the end.

#include "shim.h"

#include <ATen/Functions.h>
#include <torch/csrc/autograd/custom_function.h>

namespace {

using torch::autograd::AutogradContext;
using torch::autograd::Variable;
using torch::autograd::variable_list;

DetconGroup* group_of(AutogradContext* context) {
  return reinterpret_cast<DetconGroup*>(context->saved_data["group"].toInt());
}

void keep_group(AutogradContext* context, DetconGroup* group) {
  context->saved_data["group"] = reinterpret_cast<int64_t>(group);
}

/// All ranks' tensors along the first axis. Backward: the sum over the ranks of what each has for the tensor.
struct Gather : torch::autograd::Function<Gather> {
  static Variable forward(AutogradContext* context, const Variable& tensor, DetconGroup* group, int64_t rank) {
    keep_group(context, group);
    context->saved_data["rank"] = rank;
    context->saved_data["rows"] = tensor.size(0);
    return group->gather(tensor);
  }

  static variable_list backward(AutogradContext* context, variable_list gradients) {
    auto* group = group_of(context);
    const int64_t rows = context->saved_data["rows"].toInt();
    at::Tensor sum = gradients[0].clone(at::MemoryFormat::Contiguous);
    group->mean(sum);
    const auto own = sum.narrow(0, context->saved_data["rank"].toInt() * rows, rows);
    return {own * group->size, Variable(), Variable()};
  }
};

at::ScalarType statistics_type(const at::Tensor& tensor) {
  return tensor.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
}

std::vector<int64_t> all_but_channels(const at::Tensor& tensor) {
  std::vector<int64_t> axes{0};
  for (int64_t axis = 2; axis < tensor.dim(); ++axis) {
    axes.push_back(axis);
  }
  return axes;
}

at::Tensor along_channels(const at::Tensor& vector, const at::Tensor& like) {
  std::vector<int64_t> shape(like.dim(), 1);
  shape[1] = vector.size(0);
  return vector.view(shape);
}

/// Means over the batches of all ranks, of two tensors at once.
std::pair<at::Tensor, at::Tensor> means(
    DetconGroup* group, const at::Tensor& one, const at::Tensor& other) {
  const auto axes = all_but_channels(one);
  at::Tensor both = at::stack({one.mean(axes), other.mean(axes)});
  group->mean(both);
  return {both.select(0, 0), both.select(0, 1)};
}

/// A batch norm by the statistics of all ranks. Source: `BatchNorm` of dm-haiku 0.0.11 under `cross_replica_axis`: the
/// means of the values and of their squares are reduced. Keeps its input alone, not what lies between.
struct SyncBatchNorm : torch::autograd::Function<SyncBatchNorm> {
  static variable_list forward(
      AutogradContext* context,
      const Variable& input,
      const Variable& scale,
      const Variable& offset,
      double epsilon,
      DetconGroup* group) {
    const auto values = input.to(statistics_type(input));
    const auto [mean, square] = means(group, values, values.square());
    const auto variance = square - mean.square();
    const auto [output, _mean, _deviation] =
        at::native_batch_norm(input, scale, offset, mean, variance, false, 0.0, epsilon);
    context->save_for_backward({input, scale, mean, (variance + epsilon).rsqrt()});
    context->mark_non_differentiable({mean, variance});
    keep_group(context, group);
    return {output, mean, variance};
  }

  static variable_list backward(AutogradContext* context, variable_list gradients) {
    const auto saved = context->get_saved_variables();
    const auto &input = saved[0], &scale = saved[1], &mean = saved[2], &inverse = saved[3];
    const auto type = statistics_type(input);
    const auto gradient = gradients[0].to(type);
    const auto normalised =
        (input.to(type) - along_channels(mean, input)) * along_channels(inverse, input);
    const auto product = gradient * normalised;
    const auto axes = all_but_channels(input);
    const auto [mean_gradient, mean_product] = means(group_of(context), gradient, product);
    const auto centred = gradient - along_channels(mean_gradient, input) -
        normalised * along_channels(mean_product, input);
    const auto to_input = centred * along_channels(scale * inverse, input);
    return {
        to_input.to(input.scalar_type()),
        product.sum(axes),
        gradient.sum(axes),
        Variable(),
        Variable()};
  }
};

} // namespace

extern "C" {

char* detcon_mean(DetconGroup* group, at::Tensor* tensor) {
  return guarded([&] { group->mean(*tensor); });
}

char* detcon_gather(DetconGroup* group, const at::Tensor* tensor, int64_t rank, at::Tensor** out) {
  return guarded([&] { *out = new at::Tensor(Gather::apply(*tensor, group, rank)); });
}

char* detcon_batch_norm(
    DetconGroup* group,
    const at::Tensor* input,
    const at::Tensor* scale,
    const at::Tensor* offset,
    double epsilon,
    at::Tensor** out) {
  return guarded([&] {
    auto outputs = SyncBatchNorm::apply(*input, *scale, *offset, epsilon, group);
    for (size_t i = 0; i < outputs.size(); ++i) {
      out[i] = new at::Tensor(std::move(outputs[i]));
    }
  });
}

} // extern "C"
