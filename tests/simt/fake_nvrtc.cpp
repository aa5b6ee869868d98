// A libnvrtc.so.13 whose "cubins" are for the driver of fake_driver.cpp: a kernel's source is compiled for the CPU
// with KILN_EMULATION. The headers of tests/simt are read when the library is loaded, before a worker's sandbox
// closes.
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <string>

namespace {

std::string read(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}
void write(const std::string& path, const std::string& text) { std::ofstream(path, std::ios::binary) << text; }

const std::string before = read(std::string(KILN_SOURCE_DIR) + "/tests/simt/before.h");
const std::string wrappers = read(std::string(KILN_SOURCE_DIR) + "/tests/simt/simt.h");

struct Program {
  std::string source, object, log;
};

constexpr int kCompilation = 6;

// The measuring kernels of a node are CUDA C++ that no wrapper of ours stands between; a CPU has nothing to measure
// with them.
const char* const kIdle = R"(
extern "C" {
#define IDLE(symbol) unsigned symbol##_parameter_bytes = 0; void symbol(void* const*) {}
IDLE(kiln_copy) IDLE(kiln_read) IDLE(kiln_read_again) IDLE(kiln_fma_f32) IDLE(kiln_fma_f64) IDLE(kiln_nothing)
}
)";

}  // namespace

extern "C" {

int nvrtcVersion(int* major, int* minor) { return *major = 13, *minor = 0, 0; }
int nvrtcGetNumSupportedArchs(int* count) { return *count = 1, 0; }
int nvrtcGetSupportedArchs(int* architectures) { return *architectures = 90, 0; }
const char* nvrtcGetErrorString(int) { return "an error of the fake NVRTC"; }

int nvrtcCreateProgram(Program** program, const char* source, const char*, int, const char* const*,
                       const char* const*) {
  *program = new Program{source, {}, {}};
  return 0;
}
int nvrtcDestroyProgram(Program** program) { return delete *program, 0; }

int nvrtcCompileProgram(Program* program, int, const char* const*) {
  for (volatile bool endless = program->source.find("kiln_fake_endless") != std::string::npos; endless;) {
  }
  const bool measuring = program->source.find("kiln_fma_f64") != std::string::npos;
  write("before.h", before);
  write("simt.h", wrappers);
  write("kernel.cpp", measuring ? kIdle : program->source);
  const int failed = std::system(
      "c++ -std=c++20 -O1 -ffp-contract=off -w -fPIC -shared -nostdlib -fno-exceptions -include ./before.h "
      "-DKILN_EMULATION='\"./simt.h\"' -o kernel.so kernel.cpp >log 2>&1");
  program->log = failed ? "kernel.cu(1): error: " + read("log") : "";
  if (failed) return kCompilation;
  program->object = read("kernel.so");
  return 0;
}
int nvrtcGetCUBINSize(Program* program, std::size_t* bytes) { return *bytes = program->object.size(), 0; }
int nvrtcGetCUBIN(Program* program, char* cubin) {
  return std::memcpy(cubin, program->object.data(), program->object.size()), 0;
}
int nvrtcGetProgramLogSize(Program* program, std::size_t* bytes) { return *bytes = program->log.size() + 1, 0; }
int nvrtcGetProgramLog(Program* program, char* log) {
  return std::memcpy(log, program->log.c_str(), program->log.size() + 1), 0;
}

}  // extern "C"
