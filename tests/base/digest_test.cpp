#include "runtime/base/digest.h"

#include <doctest/doctest.h>

// FIPS 180-4 example vectors (NIST, SHA256.pdf).
TEST_CASE("SHA-256 gives the values of FIPS 180-4") {
  CHECK(kiln::sha256_hex("abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  CHECK(kiln::sha256_hex("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq") ==
        "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
  CHECK(kiln::sha256_hex("") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
}
