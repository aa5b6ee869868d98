# cmake -DFOLDER=... -DOUT=... -P embed.cmake: the numbered .sql files as one table of C++ raw strings, in order of
# name.
file(GLOB files ${FOLDER}/*.sql)
list(SORT files)
set(text "#include \"store/migrations/migrations.h\"\n\nnamespace kiln::store {\n\n\
const std::vector<std::string>& migrations() {\n  static const std::vector<std::string> all = {\n")
foreach(file ${files})
  file(READ ${file} sql)
  string(APPEND text "R\"sql(${sql})sql\",\n")
endforeach()
string(APPEND text "  };\n  return all;\n}\n\n}  // namespace kiln::store\n")
file(WRITE ${OUT} "${text}")
