#include "daemon/worker/object_source.h"

#include <fcntl.h>

#include <cerrno>

#include "runtime/base/error.h"

namespace kiln::worker {

UniqueFd open_object(const ObjectSource& objects, const std::string& digest) {
  UniqueFd fd(::open(objects.path(digest).c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd) throw system_error("cannot open object " + digest, errno);
  return fd;
}

}  // namespace kiln::worker
