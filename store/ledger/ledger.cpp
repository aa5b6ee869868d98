#include "store/ledger/ledger.h"

#include <map>

#include "runtime/base/digest.h"
#include "runtime/base/error.h"

namespace kiln::store::ledger {
namespace {

std::string big_endian(std::uint64_t value, int bytes) {
  std::string out;
  for (int shift = 8 * (bytes - 1); shift >= 0; shift -= 8) out += static_cast<char>((value >> shift) & 0xff);
  return out;
}

std::string raw(const std::string& hex) {
  if (hex.find_first_not_of("0123456789abcdef") != std::string::npos)
    throw Error(ErrorCode::corrupt, "cannot trust the ledger: a stored hash is not hexadecimal",
                "restore the state folder from a backup");
  std::string out;
  for (std::size_t i = 0; i + 1 < hex.size(); i += 2)
    out += static_cast<char>(std::stoi(hex.substr(i, 2), nullptr, 16));
  return out;
}

std::string hex(std::string_view bytes) {
  static constexpr char digits[] = "0123456789abcdef";
  std::string out;
  for (const char c : bytes) {
    out += digits[static_cast<unsigned char>(c) >> 4];
    out += digits[static_cast<unsigned char>(c) & 15];
  }
  return out;
}

std::string hash(std::string_view bytes) { return raw(sha256_hex(bytes)); }

std::string node_hash(const std::string& left, const std::string& right) {
  return hash(std::string(1, '\x01') + left + right);
}

// Complete subtrees of the first `size` leaves, by level: the binary digits of the size.
using Frontier = std::map<int, std::string>;

void add_leaf(Frontier& frontier, std::string leaf) {
  int level = 0;
  for (auto found = frontier.find(level); found != frontier.end(); found = frontier.find(++level)) {
    leaf = node_hash(found->second, leaf);
    frontier.erase(found);
  }
  frontier[level] = std::move(leaf);
}

std::string root_of(const Frontier& frontier) {
  if (frontier.empty()) return hash("");
  auto at = frontier.begin();
  std::string root = at->second;
  for (++at; at != frontier.end(); ++at) root = node_hash(at->second, root);
  return root;
}

Frontier read_frontier(Database& db) {
  Frontier out;
  Statement rows(db, "SELECT level, hash FROM frontier");
  while (rows.step()) out[static_cast<int>(rows.integer(0))] = raw(rows.text(1));
  return out;
}

}  // namespace

std::string encode(const Entry& e) {
  std::string out = "KLE1" + big_endian(static_cast<std::uint64_t>(e.sequence), 8) +
                    big_endian(static_cast<std::uint64_t>(e.recorded_ns), 8);
  for (const std::string* part : {&e.kind, &e.subject, &e.content, &e.previous})
    out += big_endian(part->size(), 4) + *part;
  return out;
}

std::string leaf_hash(std::string_view data) { return hash(std::string(1, '\0') + std::string(data)); }

std::string tree_root(const std::vector<std::string>& leaves) {
  Frontier frontier;
  for (const std::string& leaf : leaves) add_leaf(frontier, leaf);
  return root_of(frontier);
}

std::int64_t append(Database& db, std::string_view kind, std::string_view subject, std::string_view content,
                    std::int64_t now_ns) {
  Entry entry;
  entry.kind = kind;
  entry.subject = subject;
  entry.content = content;
  entry.recorded_ns = now_ns;
  entry.sequence = 1;
  entry.previous = std::string(64, '0');
  {
    Statement last(db, "SELECT sequence, hash FROM ledger ORDER BY sequence DESC LIMIT 1");
    if (last.step()) {
      entry.sequence = last.integer(0) + 1;
      entry.previous = last.text(1);
    }
  }
  const std::string bytes = encode(entry);
  Statement(
      db,
      "INSERT INTO ledger(sequence, kind, subject, content, previous, hash, recorded_ns) VALUES (?, ?, ?, ?, ?, ?, ?)")
      .bind(entry.sequence, entry.kind, entry.subject, entry.content, entry.previous, sha256_hex(bytes),
            entry.recorded_ns)
      .run();
  Frontier frontier = read_frontier(db);
  add_leaf(frontier, leaf_hash(bytes));
  db.exec("DELETE FROM frontier");
  for (const auto& [level, subtree] : frontier)
    Statement(db, "INSERT INTO frontier VALUES (?, ?)").bind(std::int64_t{level}, hex(subtree)).run();
  return entry.sequence;
}

Head head(Database& db) {
  const std::string root = root_of(read_frontier(db));
  return {db.query_int("SELECT coalesce(max(sequence), 0) FROM ledger"), hex(root), root};
}

std::int64_t verify(Database& db) {
  Frontier frontier;
  std::string previous(64, '0');
  std::int64_t count = 0;
  Statement rows(db,
                 "SELECT sequence, kind, subject, content, previous, hash, recorded_ns FROM ledger ORDER BY sequence");
  while (rows.step()) {
    const Entry entry{rows.integer(0), rows.integer(6), rows.text(1), rows.text(2), rows.text(3), rows.text(4)};
    const std::string bytes = encode(entry);
    if (entry.sequence != ++count || entry.previous != previous || rows.text(5) != sha256_hex(bytes))
      throw Error(ErrorCode::corrupt,
                  "cannot trust the ledger: entry " + std::to_string(count) + " is not what was recorded",
                  "restore the state folder from a backup");
    previous = rows.text(5);
    add_leaf(frontier, leaf_hash(bytes));
  }
  if (root_of(frontier) != root_of(read_frontier(db)))
    throw Error(ErrorCode::corrupt,
                "cannot trust the ledger: its tree does not fit its " + std::to_string(count) + " entries",
                "restore the state folder from a backup");
  return count;
}

}  // namespace kiln::store::ledger
