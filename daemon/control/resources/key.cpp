#include "daemon/control/resources/resources.h"
#include "runtime/base/json.h"

namespace kiln::control {

Answer get_key(Context& context, const Request&) {
  const store::SigningKey& key = context.services.key;
  return json_answer(json::object{{"algorithm", key.algorithm()},
                                  {"fingerprint", key.fingerprint()},
                                  {"pem", key.public_pem()},
                                  {"ssh", key.public_ssh()}});
}

}  // namespace kiln::control
