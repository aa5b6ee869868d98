#!/bin/bash
# Every shell script of the project parses, is executable, and has nothing for shellcheck to say.
set -euo pipefail
scripts=(check quickstart .ci/run packaging/install-packages packaging/make-debian-packages
  tests/scripts/check_shell.sh tests/scripts/try_packages.sh tests/scripts/try_unit.sh
  packaging/debian/*/{postinst,prerm,postrm})
for script in "${scripts[@]}"; do
  bash -n "$script"
  [[ -x $script ]] || { echo "cannot run '$script': it is not executable" >&2; exit 1; }
done
shellcheck --severity=warning "${scripts[@]}"
for completion in packaging/completions/*.bash; do bash -n "$completion"; done
