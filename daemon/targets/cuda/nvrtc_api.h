// The part of NVRTC that Kiln calls, declared by hand: names and types of the NVRTC User Guide, version 13.0. The
// same functions exist since CUDA 11.2.
#pragma once

#include <cstddef>

namespace kiln::targets::cuda {

using NvrtcProgram = struct NvrtcProgramTag*;  // nvrtcProgram
inline constexpr int kNvrtcSuccess = 0;        // nvrtcResult
inline constexpr int kNvrtcInvalidOption = 5;
inline constexpr int kNvrtcCompilation = 6;

// X(exported symbol, parameters): every function returns an nvrtcResult.
#define KILN_NVRTC_FUNCTIONS(X)                                                             \
  X(nvrtcVersion, (int* major, int* minor))                                                 \
  X(nvrtcGetNumSupportedArchs, (int* count))                                                \
  X(nvrtcGetSupportedArchs, (int* architectures))                                           \
  X(nvrtcCreateProgram, (NvrtcProgram*, const char* source, const char* name, int headers,  \
                         const char* const* header_texts, const char* const* header_names)) \
  X(nvrtcDestroyProgram, (NvrtcProgram*))                                                   \
  X(nvrtcCompileProgram, (NvrtcProgram, int options, const char* const* texts))             \
  X(nvrtcGetCUBINSize, (NvrtcProgram, std::size_t * bytes))                                 \
  X(nvrtcGetCUBIN, (NvrtcProgram, char* cubin))                                             \
  X(nvrtcGetProgramLogSize, (NvrtcProgram, std::size_t * bytes))                            \
  X(nvrtcGetProgramLog, (NvrtcProgram, char* log))

struct NvrtcApi {
#define KILN_MEMBER(symbol, parameters) int(*symbol) parameters = nullptr;
  KILN_NVRTC_FUNCTIONS(KILN_MEMBER)
#undef KILN_MEMBER
  const char* (*nvrtcGetErrorString)(int result) = nullptr;
};

}  // namespace kiln::targets::cuda
