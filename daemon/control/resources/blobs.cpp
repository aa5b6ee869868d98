#include "daemon/control/resources/resources.h"
#include "runtime/base/json.h"

namespace kiln::control {

Answer stored_blob(store::Store::Upload& upload) {
  const std::int64_t bytes = upload.size();
  const std::string digest = upload.commit();
  Answer answer = json_answer(json::object{{"sha256", digest}, {"bytes", bytes}}, 201);
  answer.object = digest;
  return answer;
}

}  // namespace kiln::control
