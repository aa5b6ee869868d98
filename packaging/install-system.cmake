# A step of `cmake --install`: the files that depend on where Kiln is installed to. Below /usr the configuration is
# /etc/kiln/kilnd.toml, which kilnd reads by itself; elsewhere it lies below the prefix and the unit names it.
# Given: source, binary (folders), sbin (relative to the prefix).
set(configuration "${CMAKE_INSTALL_PREFIX}/etc/kiln/kilnd.toml")
set(command "${CMAKE_INSTALL_PREFIX}/${sbin}/kilnd --config ${configuration}")
if(CMAKE_INSTALL_PREFIX STREQUAL "/usr")
  set(configuration /etc/kiln/kilnd.toml)
  set(command "/usr/${sbin}/kilnd")
endif()

file(READ "${source}/systemd/kilnd.service" unit)
string(REPLACE "ExecStart=/usr/sbin/kilnd\n" "ExecStart=${command}\n" unit "${unit}")
file(WRITE "${binary}/kilnd.service" "${unit}")
file(INSTALL "${binary}/kilnd.service" DESTINATION "${CMAKE_INSTALL_PREFIX}/lib/systemd/system")

# A site's configuration is never overwritten.
if(NOT EXISTS "$ENV{DESTDIR}${configuration}")
  get_filename_component(folder "${configuration}" DIRECTORY)
  file(INSTALL "${source}/daemon/kilnd/kilnd.toml" DESTINATION "${folder}")
endif()
