#include "daemon/kctl/command.h"

int main(int argc, char** argv) { return kiln::kctl::run_command_line(argc, argv); }
