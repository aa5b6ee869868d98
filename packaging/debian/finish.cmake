# Run by CPack on each package's files before they are packed: what Debian asks for beyond an installation. Manuals
# are compressed, copyright and changelogs added, and times are that of SOURCE_DATE_EPOCH, so that two builds are alike.
foreach(component ${CPACK_COMPONENTS_ALL})
  string(TOUPPER ${component} upper)
  set(root "${CPACK_TEMPORARY_INSTALL_DIRECTORY}/${component}")
  set(documents "${root}/usr/share/doc/${CPACK_DEBIAN_${upper}_PACKAGE_NAME}")
  file(MAKE_DIRECTORY "${documents}")
  configure_file("${CMAKE_CURRENT_LIST_DIR}/copyright" "${documents}/copyright" COPYONLY)
  configure_file("${CMAKE_CURRENT_LIST_DIR}/changelog" "${documents}/changelog.Debian" COPYONLY)
  configure_file("${CMAKE_CURRENT_LIST_DIR}/../../CHANGELOG.md" "${documents}/changelog" COPYONLY)
  file(GLOB_RECURSE pages "${root}/usr/share/man/*.[1358]")
  execute_process(COMMAND gzip -9n ${pages} "${documents}/changelog" "${documents}/changelog.Debian"
    COMMAND_ERROR_IS_FATAL ANY)
  if(DEFINED ENV{SOURCE_DATE_EPOCH})
    execute_process(COMMAND find "${root}" -exec touch --no-dereference "--date=@$ENV{SOURCE_DATE_EPOCH}" "{}" "+"
      COMMAND_ERROR_IS_FATAL ANY)
  endif()
endforeach()
