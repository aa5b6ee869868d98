// Recurrent layers, one step after another over the whole batch. The formulas are those of the ONNX operators RNN, GRU
// and LSTM (version 14).
#include <algorithm>

#include "agents/graph/interpreter/array.h"
#include "agents/graph/interpreter/product.h"

namespace kiln::graph::interpreter {
namespace {

template <class T>
class Layer {
 public:
  Layer(const Recurrent& op, const Inputs& in, const Context& context)
      : op_(op),
        in_(in),
        context_(context),
        type_(in[0]->type.dtype),
        steps_(in[0]->type.shape[0]),
        batch_(in[0]->type.shape[1]),
        hidden_(in[1]->type.shape[1]),
        gates_(in[1]->type.shape[0] / hidden_),
        h_(in[3]->as<T>()),
        y_(static_cast<std::size_t>(steps_ * batch_ * hidden_), T(0)) {
    if (op.cell == Cell::lstm) c_ = in[5]->as<T>();
  }

  void run() {
    for (std::int64_t step = 0; step < steps_; ++step) {
      const std::vector<T> recurrent = product(h_, 0, gates_);
      for (std::int64_t b = 0; b < batch_; ++b) gather(step, b);
      switch (op_.cell) {
        case Cell::rnn: rnn(recurrent); break;
        case Cell::gru: gru(recurrent); break;
        case Cell::lstm: lstm(recurrent); break;
      }
      for (std::int64_t b = 0; b < batch_; ++b) keep(step, b);
    }
  }

  std::vector<Array> results(const std::vector<TensorType>& out) {
    std::vector<Array> arrays = {{out[0], std::move(y_)}, {out[1], std::move(h_)}};
    if (op_.cell == Cell::lstm) arrays.push_back({out[2], std::move(c_)});
    return arrays;
  }

 private:
  using Values = std::vector<T>;

  // [B, count H]: state times the rows of r for the gates from `first` on.
  Values product(const Values& state, std::int64_t first, std::int64_t count) const {
    const std::int64_t n = count * hidden_;
    Values out(static_cast<std::size_t>(batch_ * n));
    const T* r = in_[1]->as<T>().data() + first * hidden_ * hidden_;
    const std::int64_t panels = batch_ == 0 ? 0 : (n + kPanelColumns - 1) / kPanelColumns;
    parallel(context_, panels, 4, [&](std::int64_t begin, std::int64_t end) {
      Values panel(static_cast<std::size_t>(hidden_ * kPanelColumns), T(0));
      for (std::int64_t part = begin; part < end; ++part) {
        const std::int64_t column = part * kPanelColumns, width = std::min(kPanelColumns, n - column);
        for (std::int64_t p = 0; p < hidden_; ++p)
          for (std::int64_t j = 0; j < width; ++j)
            panel[static_cast<std::size_t>(p * kPanelColumns + j)] = r[(column + j) * hidden_ + p];
        multiply_panel(Matrix<T>{state.data(), hidden_, 1}, panel.data(), out.data() + column, n, batch_, width,
                       hidden_);
      }
    });
    return out;
  }

  // The step of x that row b works on, or -1 past its length.
  std::int64_t place(std::int64_t step, std::int64_t b) const {
    const std::int64_t length = std::min(in_[4]->as<std::int64_t>()[static_cast<std::size_t>(b)], steps_);
    if (step >= length) return -1;
    return op_.reverse ? length - 1 - step : step;
  }

  void gather(std::int64_t step, std::int64_t b) {
    const std::int64_t width = gates_ * hidden_, from = std::max<std::int64_t>(place(step, b), 0);
    x_.resize(static_cast<std::size_t>(batch_ * width));
    std::copy_n(in_[0]->as<T>().begin() + (from * batch_ + b) * width, width, x_.begin() + b * width);
  }

  // One gate over the batch: x + recurrent + bias [+ peephole * cell], cut and activated.
  Values gate(std::int64_t index, const Values& recurrent, std::int64_t activation, const Values* cell = nullptr,
              std::int64_t peephole = 0) const {
    Values out(static_cast<std::size_t>(batch_ * hidden_));
    for (std::int64_t b = 0; b < batch_; ++b)
      for (std::int64_t j = 0; j < hidden_; ++j) {
        const auto to = static_cast<std::size_t>(b * hidden_ + j),
                   from = static_cast<std::size_t>((b * gates_ + index) * hidden_ + j);
        out[to] = x_[from] + recurrent[from] + bias(index, j);
        if (cell != nullptr) out[to] += in_[6]->as<T>()[static_cast<std::size_t>(peephole * hidden_ + j)] * (*cell)[to];
      }
    return activated(std::move(out), activation, true);
  }

  T bias(std::int64_t index, std::int64_t j) const {
    return in_[2]->as<T>()[static_cast<std::size_t>(index * hidden_ + j)];
  }

  Values activated(Values values, std::int64_t activation, bool cut) const {
    if (cut && op_.clip > 0)
      for (T& value : values) value = std::clamp(value, static_cast<T>(-op_.clip), static_cast<T>(op_.clip));
    const TensorType type{type_, {batch_, hidden_}};
    round_to(type_, context_.arithmetic, values.data(), values.size());
    auto argument = std::make_shared<const Array>(Array{type, std::move(values)});
    std::vector<Array> out = interpreter::run(Pointwise{op_.activations[static_cast<std::size_t>(activation)]},
                                              {std::move(argument)}, {type}, context_);
    return std::get<Values>(std::move(out[0].elements));
  }

  void rnn(const Values& recurrent) { next_h_ = gate(0, recurrent, 0); }

  void gru(const Values& recurrent) {
    const Values z = gate(0, recurrent, 0), r = gate(1, recurrent, 0);
    Values inner(z.size());
    if (op_.reset_after) {
      for_each([&](std::size_t i, std::int64_t b, std::int64_t j) {
        const auto from = static_cast<std::size_t>((b * gates_ + 2) * hidden_ + j);
        inner[i] = x_[from] + r[i] * (recurrent[from] + bias(2, j));
      });
    } else {
      Values reset(z.size());
      for_each([&](std::size_t i, std::int64_t, std::int64_t) { reset[i] = r[i] * h_[i]; });
      const Values again = product(reset, 2, 1);
      for_each([&](std::size_t i, std::int64_t b, std::int64_t j) {
        inner[i] = x_[static_cast<std::size_t>((b * gates_ + 2) * hidden_ + j)] + again[i] + bias(2, j);
      });
    }
    next_h_ = activated(std::move(inner), 1, true);
    for_each(
        [&](std::size_t i, std::int64_t, std::int64_t) { next_h_[i] = (T(1) - z[i]) * next_h_[i] + z[i] * h_[i]; });
  }

  void lstm(const Values& recurrent) {
    const Values i = gate(0, recurrent, 0, &c_, 0), c = gate(3, recurrent, 1);
    Values f;
    if (!op_.input_forget) f = gate(2, recurrent, 0, &c_, 2);
    next_c_.resize(c.size());
    for_each([&](std::size_t at, std::int64_t, std::int64_t) {
      next_c_[at] = (op_.input_forget ? T(1) - i[at] : f[at]) * c_[at] + i[at] * c[at];
    });
    const Values o = gate(1, recurrent, 0, &next_c_, 1);
    next_h_ = activated(next_c_, 2, false);
    for_each([&](std::size_t at, std::int64_t, std::int64_t) { next_h_[at] *= o[at]; });
  }

  template <class Body>
  void for_each(Body body) const {
    for (std::int64_t b = 0; b < batch_; ++b)
      for (std::int64_t j = 0; j < hidden_; ++j) body(static_cast<std::size_t>(b * hidden_ + j), b, j);
  }

  // Row b takes the new state unless it has ended.
  void keep(std::int64_t step, std::int64_t b) {
    const std::int64_t to = place(step, b);
    if (to < 0) return;
    const auto row = b * hidden_;
    round_to(type_, context_.arithmetic, next_h_.data() + row, static_cast<std::size_t>(hidden_));
    std::copy_n(next_h_.begin() + row, hidden_, h_.begin() + row);
    std::copy_n(next_h_.begin() + row, hidden_, y_.begin() + (to * batch_ + b) * hidden_);
    if (op_.cell != Cell::lstm) return;
    round_to(type_, context_.arithmetic, next_c_.data() + row, static_cast<std::size_t>(hidden_));
    std::copy_n(next_c_.begin() + row, hidden_, c_.begin() + row);
  }

  const Recurrent& op_;
  const Inputs& in_;
  const Context& context_;
  DType type_;
  std::int64_t steps_, batch_, hidden_, gates_;
  Values h_, c_, y_;           // states and the result
  Values x_, next_h_, next_c_;  // of the current step
};

}  // namespace

std::vector<Array> run(const Recurrent& op, const Inputs& in, const std::vector<TensorType>& out,
                       const Context& context) {
  const auto layer = [&](auto zero) {
    Layer<decltype(zero)> made(op, in, context);
    made.run();
    return made.results(out);
  };
  return std::holds_alternative<std::vector<double>>(in[0]->elements) ? layer(0.0) : layer(0.0f);
}

}  // namespace kiln::graph::interpreter
