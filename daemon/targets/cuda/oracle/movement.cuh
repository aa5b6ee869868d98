// Kernels that move elements.

template <class T>
KILN_DEVICE void move(const MoveArguments& given) {
  for (i64 i = first_index(); i < given.count; i += index_step())
    static_cast<T*>(given.y)[given.to_offset + offset_of(i, given.rank, given.extent, given.to_stride)] =
        static_cast<const T*>(given.x)[given.from_offset + offset_of(i, given.rank, given.extent, given.from_stride)];
}
KILN_KERNELS(move, MoveArguments)

// An index below zero counts from the end; one outside is a fault, and stands for the first.
KILN_DEVICE i64 checked(i64 index, i64 extent, Int* fault) {
  if (index < 0) index += extent;
  if (index >= 0 && index < extent) return index;
  *fault = fault_index;
  return 0;
}

template <class T>
KILN_DEVICE void gather(const GatherArguments& given) {
  for (i64 i = first_index(); i < given.count; i += index_step()) {
    const i64 within = i % given.inner, which = i / given.inner % given.index_count;
    const i64 outer = i / given.inner / given.index_count;
    const i64 row = checked(given.indices[which], given.axis, given.fault);
    static_cast<T*>(given.y)[i] = static_cast<const T*>(given.x)[(outer * given.axis + row) * given.inner + within];
  }
}
KILN_KERNELS(gather, GatherArguments)

template <class T>
KILN_DEVICE T updated(i64 how, T old, T update) {
  switch (how) {
    case combine_add: return combine(monoid_sum, old, update);
    case combine_mul: return combine(monoid_prod, old, update);
    case combine_max: return combine(monoid_max, old, update);
    case combine_min: return combine(monoid_min, old, update);
    default: return update;
  }
}

// One thread has a column of every row, so that updates of one place are made in their order.
template <class T>
KILN_DEVICE void scatter(const ScatterArguments& given) {
  T* y = static_cast<T*>(given.y);
  for (i64 column = first_index(); column < given.width; column += index_step()) {
    for (i64 k = 0; k < given.update_count; ++k) {
      T& place = y[checked(given.indices[k], given.rows, given.fault) * given.width + column];
      place = updated(given.combine, place, static_cast<const T*>(given.updates)[k * given.width + column]);
    }
    for (i64 row = 0; row < given.rows; ++row)
      y[row * given.width + column] = rounded(y[row * given.width + column], given.type);
  }
}
KILN_KERNELS(scatter, ScatterArguments)
