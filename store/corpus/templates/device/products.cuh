// A tile of a product in the registers of a block's threads, by plain multiply-adds. A thread keeps kThreadRows x
// kThreadColumns sums; its rows are kThreadsM apart and its columns kThreadsN, so that neighbouring threads read
// neighbouring columns.

constexpr int kThreadsM = kTileM / kThreadRows, kThreadsN = kTileN / kThreadColumns;
constexpr int kBlockThreads = kThreadsM * kThreadsN;

// Adds kTileK products to each sum of the thread whose first row and column these are. In shared memory: a is
// [kTileK][a_stride], b [kTileK][b_stride].
template <int a_stride, int b_stride, class Value>
KILN_DEVICE void add_products(const Value* a_tile, const Value* b_tile, int row, int column,
                              Value (&sums)[kThreadRows][kThreadColumns]) {
#pragma unroll
  for (int k = 0; k < kTileK; ++k) {
    Value a[kThreadRows], b[kThreadColumns];
#pragma unroll
    for (int r = 0; r < kThreadRows; ++r) a[r] = a_tile[k * a_stride + row + r * kThreadsM];
#pragma unroll
    for (int c = 0; c < kThreadColumns; ++c) b[c] = b_tile[k * b_stride + column + c * kThreadsN];
#pragma unroll
    for (int r = 0; r < kThreadRows; ++r)
#pragma unroll
      for (int c = 0; c < kThreadColumns; ++c) sums[r][c] += a[r] * b[c];
  }
}
