// What systemd is told and what it hands over. Without systemd every function does nothing or returns nothing.
#pragma once

#include <chrono>
#include <optional>
#include <string>

#include "runtime/base/unique_fd.h"

namespace kiln::kilnd {

void notify_ready(const std::string& status);
void notify_status(const std::string& status);
void notify_reloading();  // with MONOTONIC_USEC, which Type=notify-reload requires
void notify_stopping();
void notify_watchdog();

// Half of what $WATCHDOG_USEC allows between two signs of life (sd_watchdog_enabled(3)).
[[nodiscard]] std::optional<std::chrono::microseconds> watchdog_period();

// The listening socket that systemd made, or none. Error(invalid_input) when what was handed over is something else.
[[nodiscard]] UniqueFd activated_socket();

}  // namespace kiln::kilnd
