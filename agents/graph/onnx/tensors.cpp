// TensorProto -> constant: types, sizes that must agree, the typed fields, and external data.
#include <algorithm>
#include <charconv>
#include <cstring>

#include "agents/graph/onnx/parse.h"
#include "runtime/base/error.h"

namespace kiln::graph::onnx {
namespace {

using Proto = ::onnx::TensorProto;

[[noreturn]] void invalid(const std::string& cause) { throw Error(ErrorCode::invalid_input, cause); }

Shape shape_of(const Proto& tensor) {
  if (tensor.dims_size() > kRankLimit)
    throw Error(ErrorCode::limit, "it has more than " + std::to_string(kRankLimit) + " dimensions");
  Shape shape(tensor.dims().begin(), tensor.dims().end());
  (void)element_count(shape);
  return shape;
}

Constant own(std::vector<std::byte> bytes) {
  auto shared = std::make_shared<const std::vector<std::byte>>(std::move(bytes));
  const std::span<const std::byte> view(shared->data(), shared->size());
  return {std::move(shared), view};
}

template <class To, class Field>
Constant copy_as(const Field& field, std::size_t count) {
  if (static_cast<std::size_t>(field.size()) != count)
    invalid("it holds " + std::to_string(field.size()) + " values where its shape has " + std::to_string(count));
  std::vector<std::byte> bytes(count * sizeof(To));
  for (std::size_t i = 0; i < count; ++i) {
    const To value = static_cast<To>(field[static_cast<int>(i)]);
    std::memcpy(bytes.data() + i * sizeof(To), &value, sizeof(To));
  }
  return own(std::move(bytes));
}

Constant from_fields(const Proto& tensor, DType type, std::size_t count) {
  switch (type) {
    case DType::f32: return copy_as<float>(tensor.float_data(), count);
    case DType::f64: return copy_as<double>(tensor.double_data(), count);
    case DType::i64: return copy_as<std::int64_t>(tensor.int64_data(), count);
    case DType::u64: return copy_as<std::uint64_t>(tensor.uint64_data(), count);
    case DType::u32: return copy_as<std::uint32_t>(tensor.uint64_data(), count);
    case DType::i32: return copy_as<std::int32_t>(tensor.int32_data(), count);
    case DType::f16:
    case DType::bf16:
    case DType::i16:
    case DType::u16:
      return copy_as<std::uint16_t>(tensor.int32_data(), count);
    case DType::f8e4m3fn: case DType::f8e4m3fnuz: case DType::f8e5m2: case DType::f8e5m2fnuz:
    case DType::i8: case DType::u8: return copy_as<std::uint8_t>(tensor.int32_data(), count);
    case DType::boolean: return copy_as<bool>(tensor.int32_data(), count);
  }
  invalid("its type is unknown");
}

std::string entry(const Proto& tensor, std::string_view key) {
  for (const auto& item : tensor.external_data())
    if (item.key() == key) return item.value();
  return {};
}

std::size_t number(const std::string& text, std::size_t otherwise, std::string_view what) {
  if (text.empty()) return otherwise;
  std::size_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size())
    invalid("its external " + std::string(what) + " '" + text + "' is no number");
  return value;
}

Constant from_external(const Proto& tensor, std::size_t bytes, const ExternalDataSource& source) {
  const std::string location = external_location(tensor);
  const ExternalData data = source ? source(location) : ExternalData{};
  if (!data.owner)
    throw Error(ErrorCode::not_found, "its external data '" + location + "' was not given",
                "import the folder that holds: " + location);
  const std::size_t offset = number(entry(tensor, "offset"), 0, "offset");
  const std::size_t length = number(entry(tensor, "length"), bytes, "length");
  if (length != bytes)
    invalid("its external length is " + std::to_string(length) + " where its type has " + std::to_string(bytes) +
            " bytes");
  if (offset > data.bytes.size() || bytes > data.bytes.size() - offset)
    invalid("its external data ends outside '" + location + "', which has " + std::to_string(data.bytes.size()) +
            " bytes");
  const auto window = data.bytes.subspan(offset, bytes);
  // Readers take elements by their own type; a window at an odd offset is copied once to give them its alignment.
  if (reinterpret_cast<std::uintptr_t>(window.data()) % 8 != 0) return own({window.begin(), window.end()});
  return {data.owner, window};
}

// A key that one reader ignores and another obeys, or one given twice, makes a file mean two things.
void check_external_keys(const Proto& tensor) {
  std::vector<std::string> seen;
  for (const auto& item : tensor.external_data()) {
    if (item.key() != "location" && item.key() != "offset" && item.key() != "length" && item.key() != "checksum")
      invalid("its external data has the key '" + item.key() + "', which the format does not know");
    if (std::find(seen.begin(), seen.end(), item.key()) != seen.end())
      invalid("its external data gives '" + item.key() + "' twice");
    seen.push_back(item.key());
  }
}

// Any other byte than 0 and 1 would mean different things to different kernels.
void check_booleans(std::span<const std::byte> bytes) {
  for (const std::byte byte : bytes)
    if (byte > std::byte{1}) invalid("a boolean is neither 0 nor 1");
}

}  // namespace

DType dtype_of(int onnx_type) {
  switch (onnx_type) {
    case Proto::FLOAT: return DType::f32;
    case Proto::DOUBLE: return DType::f64;
    case Proto::FLOAT16: return DType::f16;
    case Proto::BFLOAT16: return DType::bf16;
    case Proto::INT64: return DType::i64;
    case Proto::INT32: return DType::i32;
    case Proto::INT16: return DType::i16;
    case Proto::INT8: return DType::i8;
    case Proto::UINT64: return DType::u64;
    case Proto::UINT32: return DType::u32;
    case Proto::UINT16: return DType::u16;
    case Proto::UINT8: return DType::u8;
    case Proto::BOOL: return DType::boolean;
    // Newer than the headers of ONNX 1.12: FLOAT8E4M3FN, FLOAT8E4M3FNUZ, FLOAT8E5M2, FLOAT8E5M2FNUZ.
    case 17: return DType::f8e4m3fn;
    case 18: return DType::f8e4m3fnuz;
    case 19: return DType::f8e5m2;
    case 20: return DType::f8e5m2fnuz;
    default: break;
  }
  throw Error(ErrorCode::unsupported,
              "element type " + std::to_string(onnx_type) + " is not one that Kiln computes with");
}

bool is_external(const Proto& tensor) {
  return tensor.has_data_location() && tensor.data_location() == Proto::EXTERNAL;
}

std::string external_location(const Proto& tensor) {
  check_external_keys(tensor);
  const std::string location = entry(tensor, "location");
  bool safe = !location.empty() && location.find('\\') == std::string::npos && location.find('\0') == std::string::npos;
  for (std::size_t begin = 0; safe && begin <= location.size();) {
    const std::size_t end = std::min(location.find('/', begin), location.size());
    const std::string part = location.substr(begin, end - begin);
    safe = !part.empty() && part != "..";
    begin = end + 1;
  }
  if (!safe) invalid("its external location '" + location + "' is not a plain path below the model's folder");
  return location;
}

Loaded load_tensor(const Proto& tensor, const std::shared_ptr<const void>& owner, const ExternalDataSource& external) {
  if (tensor.has_segment()) throw Error(ErrorCode::unsupported, "it is stored in segments");
  const DType dtype = dtype_of(tensor.data_type());
  Loaded out{{dtype, shape_of(tensor)}, {}};
  const auto count = static_cast<std::size_t>(element_count(out.type.shape));
  const std::size_t bytes = count * size_of(dtype);
  if (is_external(tensor)) {
    out.constant = from_external(tensor, bytes, external);
  } else if (tensor.has_raw_data()) {
    const std::string& raw = tensor.raw_data();
    if (raw.size() != bytes)
      invalid("it holds " + std::to_string(raw.size()) + " bytes where its type has " + std::to_string(bytes));
    out.constant = {owner, std::as_bytes(std::span(raw.data(), raw.size()))};
  } else {
    // Checked against the fields before anything is allocated: a shape costs nothing to claim.
    out.constant = from_fields(tensor, dtype, count);
  }
  if (dtype == DType::boolean) check_booleans(out.constant.bytes);
  return out;
}

}  // namespace kiln::graph::onnx
