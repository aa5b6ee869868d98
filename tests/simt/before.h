// Included before a generated kernel that is compiled for a CPU: the functions of tests/simt/block.h that its threads
// call.
#pragma once

#include <cmath>
#include <cstring>

extern "C" {
unsigned kiln_simt_thread_index();
unsigned kiln_simt_block_index();
unsigned kiln_simt_block_count();
void kiln_simt_barrier();
void* kiln_simt_shared();
unsigned kiln_simt_cluster_rank();
void kiln_simt_cluster_barrier();
const void* kiln_simt_in_block(const void* at, unsigned rank);
unsigned kiln_simt_shuffle_xor(unsigned value, unsigned mask);
}
