// A libnvidia-ml.so.1 that knows every device, and nothing of it but the energy: 250 W since 1970, counted ten times a
// second, as NVML's counter moves.
#include <ctime>

extern "C" {

int nvmlInit_v2() { return 0; }
int nvmlShutdown() { return 0; }
int nvmlDeviceGetHandleByPciBusId_v2(const char*, void** device) {
  static int one;
  return *device = &one, 0;
}
int nvmlDeviceGetTotalEnergyConsumption(void*, unsigned long long* millijoules) {
  timespec now{};
  clock_gettime(CLOCK_REALTIME, &now);
  const auto seconds = static_cast<unsigned long long>(now.tv_sec);
  const auto tenths = static_cast<unsigned long long>(now.tv_nsec) / 100'000'000;
  return *millijoules = (10 * seconds + tenths) * 25'000, 0;
}

}
