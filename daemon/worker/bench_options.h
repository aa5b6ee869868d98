#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>

namespace kiln::worker {

class BenchMemory;

struct BenchOptions {
  std::filesystem::path worker;       // kiln-worker
  std::filesystem::path include_dir;  // holds runtime/kernel_abi.h
  std::filesystem::path staging;      // the bench's own folder: made, filled, and removed at the end
  std::filesystem::path powercap{"/sys/class/powercap"};  // counters of the CPU's energy
  std::int32_t threads = 0;           // 0: all cores that its workers may use
  std::int32_t cores = 0;             // that its workers, compilers too, run on; 0: all that the daemon may use
  std::string target{"cpu"};          // "cpu", "cuda": what candidates are built for and run on
  std::int32_t ordinal = 0;           // of target "cuda": which GPU, by the driver's count
  std::string
      library_path{};  // folders with a GPU's driver or compiler that are not the system's, colons between
  // Operations of a graph from which on its expected outputs are computed on the GPU. Its kernels take seconds to
  // compile, once on a node; the interpreter took 2 s for a check of half a million elements.
  std::int64_t least_device_work = std::int64_t{1} << 17;
  std::shared_ptr<BenchMemory> memory{};  // what other benches found out; null: this one finds out by itself
};

}  // namespace kiln::worker
