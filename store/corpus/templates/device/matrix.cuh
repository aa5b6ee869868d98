// Products of small matrices of half precision that a warp's lanes hold together, summed up in float32.

#ifndef KILN_EMULATION
// sums [16, 8] += A [16, 16] B [16, 8]. With g = lane / 4 and t = lane % 4 a lane has of A the rows g (a[0], a[2]) and
// g + 8 (a[1], a[3]), of B the column g, in both the four neighbours along k that are its t-th in whatever order B has
// them too, two to a word; and the sums of rows g and g + 8 in columns 2 t and 2 t + 1 (PTX ISA, "Matrix Fragments for
// mma.m16n8k16 with floating point type"). All lanes of the warp take part.
template <class T>
KILN_DEVICE void add_matrix_product(f32 (&sums)[4], const u32 (&a)[4], const u32 (&b)[2]);
template <>
KILN_DEVICE void add_matrix_product<bf16>(f32 (&sums)[4], const u32 (&a)[4], const u32 (&b)[2]) {
  asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, "
      "%3};"
      : "+f"(sums[0]), "+f"(sums[1]), "+f"(sums[2]), "+f"(sums[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}
template <>
KILN_DEVICE void add_matrix_product<f16>(f32 (&sums)[4], const u32 (&a)[4], const u32 (&b)[2]) {
  asm("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, "
      "%3};"
      : "+f"(sums[0]), "+f"(sums[1]), "+f"(sums[2]), "+f"(sums[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}
#endif
