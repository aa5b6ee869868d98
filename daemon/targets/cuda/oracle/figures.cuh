// Figures of arrays that stay where they are: what daemon/worker/{compare,conditioning,arena}.cpp read off a host's.

// An element as a number: of an array of the model's types, or of carriers named by the type that they carry.
KILN_DEVICE f64 number(const void* from, i64 type, i64 i) {
  return type == type_u64 ? static_cast<f64>(static_cast<const u64*>(from)[i]) : element<f64>(from, type, i);
}
KILN_DEVICE f64 scaled(f64 x, i64 power) { return power == 0 ? x : ldexp(x, static_cast<int>(power)); }
KILN_DEVICE bool is_finite(f64 x) { return x - x == 0; }

// Elements of a lane that are loaded before the first of them is looked at: one load at a time for each thread keeps a
// tenth of what a memory's latency asks for under way.
constexpr int kBatch = 8;
constexpr int kBatchOfThree = 4;  // of three arrays in double: more does not stay in registers

// Elements i, i + step, i + 2 step, ... that are before `count`; 0 behind them.
template <class T, int n, class U>
KILN_DEVICE void load(U (&x)[n], const void* from, i64 i, i64 step, i64 count) {
#pragma unroll
  for (int k = 0; k < n; ++k)
    x[k] = i + k * step < count ? static_cast<U>(static_cast<const T*>(from)[i + k * step]) : U(0);
}
// As their bits, `size` bytes of them.
template <int n>
KILN_DEVICE void load_bits(u64 (&x)[n], const void* from, i64 size, i64 i, i64 step, i64 count) {
  switch (size) {
    case 8: load<u64>(x, from, i, step, count); break;
    case 4: load<u32>(x, from, i, step, count); break;
    case 2: load<u16>(x, from, i, step, count); break;
    default: load<unsigned char>(x, from, i, step, count); break;
  }
}
// As numbers times 2^power: what number() and scaled() say of each.
template <int n>
KILN_DEVICE void load_numbers(f64 (&x)[n], const void* from, i64 type, i64 power, i64 i, i64 step, i64 count) {
  if (type == type_f64) {
    load<f64>(x, from, i, step, count);
  } else if (type == type_f32) {
    load<f32>(x, from, i, step, count);
  } else if (type == type_f16 || type == type_bf16) {
    u32 bits[n];
    load<u16>(bits, from, i, step, count);
#pragma unroll
    for (int k = 0; k < n; ++k) x[k] = value_of(bits[k], type == type_f16 ? 5 : 8);
  } else {
#pragma unroll
    for (int k = 0; k < n; ++k) x[k] = i + k * step < count ? number(from, type, i + k * step) : 0.0;
  }
  if (power == 0) return;
#pragma unroll
  for (int k = 0; k < n; ++k) x[k] = scaled(x[k], power);
}

// Of one batch of a lane's elements those that are looked for; what is said of places behind the last is not used.
KILN_DEVICE void find_in(bool (&found)[kBatch], const FindArguments& given, i64 i) {
  const i64 size = size_of(given.type);
  if (given.find == find_unscaled) {
    f64 wanted[kBatch], has[kBatch];
    load_numbers(wanted, given.a, given.type, given.power, i, given.lanes, given.count);
    load_numbers(has, given.b, given.type, 0, i, given.lanes, given.count);
#pragma unroll
    for (int k = 0; k < kBatch; ++k) found[k] = has[k] != wanted[k] && !(has[k] != has[k] && wanted[k] != wanted[k]);
    return;
  }
  u64 a[kBatch], b[kBatch];
  if (given.find == find_rescaled) {
    f64 numbers[kBatch];
    load_numbers(numbers, given.a, given.type, given.power, i, given.lanes, given.count);
#pragma unroll
    for (int k = 0; k < kBatch; ++k) {
      a[k] = 0;
      put_number(&a[k], given.type, 0, numbers[k]);
    }
  } else {
    load_bits(a, given.a, size, i, given.lanes, given.count);
  }
  if (given.find == find_poisoned) {
    const u64 poisoned = static_cast<u64>(given.poison & 0xff) * 0x0101010101010101ull >> (64 - 8 * size);
#pragma unroll
    for (int k = 0; k < kBatch; ++k) b[k] = poisoned;
  } else {
    load_bits(b, given.b, size, i, given.lanes, given.count);
  }
#pragma unroll
  for (int k = 0; k < kBatch; ++k) found[k] = (a[k] == b[k]) == (given.find == find_poisoned);
}
namespace find_kernels {
using Arguments = FindArguments;
KILN_DENSE_ENTRY(find) {
  for (i64 lane = first_index(); lane < arguments.lanes; lane += index_step()) {
    i64 first = -1;
    for (i64 i = lane; i < arguments.count && first < 0; i += kBatch * arguments.lanes) {
      bool found[kBatch];
      find_in(found, arguments, i);
#pragma unroll
      for (int k = kBatch; k-- > 0;)
        if (found[k] && i + k * arguments.lanes < arguments.count) first = i + k * arguments.lanes;
    }
    arguments.first[lane] = first;
  }
}
}  // namespace find_kernels
namespace fold_found_kernels {
using Arguments = FoldPartsArguments;
KILN_ENTRY(fold_found) {
  for (i64 lane = first_index(); lane < arguments.lanes; lane += index_step()) {
    i64 first = -1;
    for (i64 i = lane; i < arguments.count; i += arguments.lanes) {
      const i64 found = static_cast<const i64*>(arguments.from)[i];
      if (found >= 0 && (first < 0 || found < first)) first = found;
    }
    static_cast<i64*>(arguments.to)[lane] = first;
  }
}
}  // namespace fold_found_kernels

// Both finite, or the same infinity, or both NaN.
KILN_DEVICE bool same_kind(f64 value, f64 right) {
  return right != right ? value != value : is_finite(right) ? is_finite(value) : value == right;
}
// The three values of one element.
struct Compared { f64 got, plain, want; };

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
KILN_DENSE_ENTRY(figures) {
  const i64 lanes = arguments.lanes, count = arguments.count;
  for (i64 lane = first_index(); lane < lanes; lane += index_step()) {
    Figures part{};
    for (i64 i = lane; i < count; i += kBatchOfThree * lanes) {
      f64 got[kBatchOfThree], plain[kBatchOfThree], want[kBatchOfThree];
      load_numbers(got, arguments.got, arguments.type, 0, i, lanes, count);
      load_numbers(plain, arguments.plain, arguments.plain_type, arguments.power, i, lanes, count);
      load_numbers(want, arguments.want, arguments.want_type, arguments.power, i, lanes, count);
#pragma unroll
      for (int k = 0; k < kBatchOfThree; ++k) {
        if (i + k * lanes >= count) break;
        const Compared x = {got[k], plain[k], want[k]};
        add(part.extremes, x, i + k * lanes);
        add(part.squares, arguments, x);
      }
    }
    static_cast<Figures*>(arguments.parts)[lane] = part;
  }
}
}  // namespace compare_kernels

KILN_DEVICE void add(Extremes& all, const Extremes& part) {
  if (part.worst > all.worst || (part.worst == all.worst && part.worst > 0 && part.worst_index < all.worst_index)) {
    all.worst = part.worst;
    all.worst_index = part.worst_index;
  }
  if (part.plain_worst > all.plain_worst) all.plain_worst = part.plain_worst;
  if (part.largest > all.largest) all.largest = part.largest;
  if (part.mismatched > 0 && (all.mismatched == 0 || part.first_mismatch < all.first_mismatch))
    all.first_mismatch = part.first_mismatch;
  all.mismatched += part.mismatched;
  all.finite += part.finite;
}
namespace fold_figures_kernels {
using Arguments = FoldPartsArguments;
KILN_ENTRY(fold_figures) {
  for (i64 lane = first_index(); lane < arguments.lanes; lane += index_step()) {
    Figures all{};
    for (i64 i = lane; i < arguments.count; i += arguments.lanes) {
      const Figures& part = static_cast<const Figures*>(arguments.from)[i];
      add(all.extremes, part.extremes);
      all.squares.got += part.squares.got;
      all.squares.plain += part.squares.plain;
      all.squares.want += part.squares.want;
    }
    static_cast<Figures*>(arguments.to)[lane] = all;
  }
}
}  // namespace fold_figures_kernels

namespace magnitude_kernels {
using Arguments = MagnitudeArguments;
KILN_DENSE_ENTRY(largest) {
  for (i64 lane = first_index(); lane < arguments.lanes; lane += index_step()) {
    f64 most = 0;
    for (i64 i = lane; i < arguments.count; i += kBatch * arguments.lanes) {
      f64 x[kBatch];  // 0 behind the last: no magnitude is less
      load_numbers(x, arguments.x, arguments.type, 0, i, arguments.lanes, arguments.count);
#pragma unroll
      for (int k = 0; k < kBatch; ++k)
        if (is_finite(x[k]) && fabs(x[k]) > most) most = fabs(x[k]);
    }
    static_cast<f64*>(arguments.parts)[lane] = most;
  }
}
KILN_DENSE_ENTRY(powers) {
  for (i64 lane = first_index(); lane < arguments.lanes; lane += index_step()) {
    Powers part{};
    for (i64 i = lane; i < arguments.count; i += kBatch * arguments.lanes) {
      f64 x[kBatch];  // 0 behind the last: adds nothing
      load_numbers(x, arguments.x, arguments.type, -arguments.exponent, i, arguments.lanes, arguments.count);
#pragma unroll
      for (int k = 0; k < kBatch; ++k) {
        if (!is_finite(x[k])) continue;
        part.squares += x[k] * x[k];
        part.fourths += x[k] * x[k] * (x[k] * x[k]);
      }
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
KILN_DENSE_ENTRY(hash) {
  const i64 words = (arguments.bytes + 7) / 8;
  for (i64 lane = first_index(); lane < arguments.lanes; lane += index_step()) {
    kiln::targets::SipHash hash(static_cast<u64>(arguments.key0), static_cast<u64>(arguments.key1));
    u64 bytes = 0;
    for (i64 i = lane; i < words; i += kBatch * arguments.lanes) {
      u64 word[kBatch];
#pragma unroll
      for (int k = 0; k < kBatch; ++k)
        word[k] = i + k * arguments.lanes < words ? word_at(arguments, i + k * arguments.lanes) : 0;
#pragma unroll
      for (int k = 0; k < kBatch && i + k * arguments.lanes < words; ++k, bytes += 8) hash.add(word[k]);
    }
    arguments.leaves[lane] = static_cast<i64>(hash.finish(bytes << 56));
  }
}
}  // namespace hash_kernels
