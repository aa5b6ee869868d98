// The ledger: a gapless hash chain over everything that was recorded, and an RFC 6962 tree over the same entries, so
// that a signed checkpoint of an earlier size shows truncation. docs/store.md. Called on the writer thread, inside the
// transaction of the row that an entry records; the read functions on any connection.
//
// Entry encoding, all lengths 32-bit big-endian: "KLE1", sequence (64-bit big-endian), recorded_ns (64-bit), then kind,
// subject, content, previous hash, each as length and bytes. hash = SHA-256(encoding), hex. Tree leaf = SHA-256(00 ||
// encoding), node = SHA-256(01 || left || right) (RFC 6962, section 2.1).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "store/sqlite/database.h"

namespace kiln::store::ledger {

struct Entry {
  std::int64_t sequence = 0;
  std::int64_t recorded_ns = 0;
  std::string kind, subject, content;
  std::string previous;  // hash of the entry before; 64 zeros for the first
};

[[nodiscard]] std::string encode(const Entry& entry);

// Returns the sequence, counted from 1.
std::int64_t append(Database& db, std::string_view kind, std::string_view subject, std::string_view content,
                    std::int64_t now_ns);

struct Head { std::int64_t size = 0; std::string root; std::string raw_root; };  // hex, and the 32 bytes
[[nodiscard]] Head head(Database& db);
// Recomputes every hash, the chain, the tree and the frontier. Throws Error(corrupt) naming the first bad entry.
std::int64_t verify(Database& db);
// Every workload, job, job entry, release and audit row says what its ledger entry says, none is missing, and SQLite's
// own integrity check passes. Throws Error(corrupt) naming the kind of row and the entry.
void verify_rows(Database& db);

// Merkle tree hash of leaves given as raw 32-byte hashes (RFC 6962, MTH); the empty tree is SHA-256 of nothing. Raw
// bytes.
[[nodiscard]] std::string tree_root(const std::vector<std::string>& leaves);
[[nodiscard]] std::string leaf_hash(std::string_view data);

}  // namespace kiln::store::ledger
