// Figures of arrays that stay where they are: what daemon/worker/{compare,conditioning,arena}.cpp read off a host's.

// An element as a number: of an array of the model's types, or of carriers named by the type that they carry.
KILN_DEVICE f64 number(const void* from, i64 type, i64 i) {
  return type == type_u64 ? static_cast<f64>(static_cast<const u64*>(from)[i]) : element<f64>(from, type, i);
}
KILN_DEVICE f64 scaled(f64 x, i64 power) { return power == 0 ? x : ldexp(x, static_cast<int>(power)); }
KILN_DEVICE bool is_finite(f64 x) { return x - x == 0; }

KILN_DEVICE bool is_poisoned(const void* a, i64 i, i64 size, i64 poison) {
  const unsigned char* bytes = static_cast<const unsigned char*>(a) + i * size;
  for (i64 b = 0; b < size; ++b)
    if (bytes[b] != static_cast<unsigned char>(poison)) return false;
  return true;
}
KILN_DEVICE bool is_found(const FindArguments& given, i64 i) {
  if (given.find == find_poisoned) return is_poisoned(given.a, i, size_of(given.type), given.poison);
  if (given.find == find_different) return !same_bits(given.a, i, given.b, i, size_of(given.type));
  const f64 wanted = scaled(number(given.a, given.type, i), given.power), found = number(given.b, given.type, i);
  return found != wanted && !(found != found && wanted != wanted);
}
namespace find_kernels {
using Arguments = FindArguments;
KILN_ENTRY(find) {
  for (i64 lane = first_index(); lane < arguments.lanes; lane += index_step()) {
    i64 first = -1;
    for (i64 i = lane; i < arguments.count && first < 0; i += arguments.lanes)
      if (is_found(arguments, i)) first = i;
    arguments.first[lane] = first;
  }
}
}  // namespace find_kernels

// Both finite, or the same infinity, or both NaN.
KILN_DEVICE bool same_kind(f64 value, f64 right) {
  return right != right ? value != value : is_finite(right) ? is_finite(value) : value == right;
}
// The three values of one element.
struct Compared { f64 got, plain, want; };
KILN_DEVICE Compared compared_at(const CompareArguments& given, i64 i) {
  return {number(given.got, given.type, i), scaled(number(given.plain, given.plain_type, i), given.power),
          scaled(number(given.want, given.want_type, i), given.power)};
}

KILN_DEVICE void add(Extremes& extremes, const Compared& x, i64 i) {
  if (!same_kind(x.got, x.want)) {
    // What overflows the model's own type in a plain evaluation may overflow in a candidate.
    if (same_kind(x.got, x.plain) && !is_finite(x.plain)) return;
    if (extremes.mismatched++ == 0) extremes.first_mismatch = i;
    return;
  }
  if (!is_finite(x.want)) return;
  ++extremes.finite;
  const f64 magnitude = fabs(x.want), error = fabs(x.got - x.want);
  if (magnitude > extremes.largest) extremes.largest = magnitude;
  if (error > extremes.worst) {
    extremes.worst = error;
    extremes.worst_index = i;
  }
  if (is_finite(x.plain) && fabs(x.plain - x.want) > extremes.plain_worst)
    extremes.plain_worst = fabs(x.plain - x.want);
}
KILN_DEVICE void add(Squares& squares, const CompareArguments& given, const Compared& x) {
  if (!is_finite(x.want) || !is_finite(x.got)) return;
  const f64 error = scaled(x.got - x.want, -given.got_exponent), right = scaled(x.want, -given.want_exponent);
  squares.got += error * error;
  squares.want += right * right;
  if (!is_finite(x.plain)) return;
  const f64 of_plain = scaled(x.plain - x.want, -given.plain_exponent);
  squares.plain += of_plain * of_plain;
}
namespace compare_kernels {
using Arguments = CompareArguments;
KILN_ENTRY(extremes) {
  for (i64 lane = first_index(); lane < arguments.lanes; lane += index_step()) {
    Extremes part{};
    for (i64 i = lane; i < arguments.count; i += arguments.lanes) add(part, compared_at(arguments, i), i);
    static_cast<Extremes*>(arguments.parts)[lane] = part;
  }
}
KILN_ENTRY(squares) {
  for (i64 lane = first_index(); lane < arguments.lanes; lane += index_step()) {
    Squares part{};
    for (i64 i = lane; i < arguments.count; i += arguments.lanes) add(part, arguments, compared_at(arguments, i));
    static_cast<Squares*>(arguments.parts)[lane] = part;
  }
}
}  // namespace compare_kernels

namespace magnitude_kernels {
using Arguments = MagnitudeArguments;
KILN_ENTRY(largest) {
  for (i64 lane = first_index(); lane < arguments.lanes; lane += index_step()) {
    f64 most = 0;
    for (i64 i = lane; i < arguments.count; i += arguments.lanes) {
      const f64 x = fabs(number(arguments.x, arguments.type, i));
      if (is_finite(x) && x > most) most = x;
    }
    static_cast<f64*>(arguments.parts)[lane] = most;
  }
}
KILN_ENTRY(powers) {
  for (i64 lane = first_index(); lane < arguments.lanes; lane += index_step()) {
    Powers part{};
    for (i64 i = lane; i < arguments.count; i += arguments.lanes) {
      const f64 x = scaled(number(arguments.x, arguments.type, i), -arguments.exponent);
      if (!is_finite(x)) continue;
      part.squares += x * x;
      part.fourths += x * x * (x * x);
    }
    static_cast<Powers*>(arguments.parts)[lane] = part;
  }
}
}  // namespace magnitude_kernels

namespace round_kernels {
using Arguments = RoundArguments;
KILN_ENTRY(round_elements) {
  for (i64 i = first_index(); i < arguments.count; i += index_step())
    put_number(arguments.y, arguments.type, i, scaled(number(arguments.x, arguments.from_type, i), arguments.power));
}
}  // namespace round_kernels

// Word `i` of an array, the bytes beyond its end zero.
KILN_DEVICE u64 word_at(const HashArguments& given, i64 i) {
  if (8 * i + 8 <= given.bytes) return static_cast<const u64*>(given.x)[i];
  u64 word = 0;
  for (i64 b = 8 * i; b < given.bytes; ++b)
    word |= static_cast<u64>(static_cast<const unsigned char*>(given.x)[b]) << (8 * (b - 8 * i));
  return word;
}
namespace hash_kernels {
using Arguments = HashArguments;
KILN_ENTRY(hash) {
  const i64 words = (arguments.bytes + 7) / 8;
  for (i64 lane = first_index(); lane < arguments.lanes; lane += index_step()) {
    kiln::targets::SipHash hash(static_cast<u64>(arguments.key0), static_cast<u64>(arguments.key1));
    u64 bytes = 0;
    for (i64 i = lane; i < words; i += arguments.lanes, bytes += 8) hash.add(word_at(arguments, i));
    arguments.leaves[lane] = static_cast<i64>(hash.finish(bytes << 56));
  }
}
}  // namespace hash_kernels
