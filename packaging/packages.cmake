# Debian packages by CPack, one per component of packaging/CMakeLists.txt; `packaging/make-debian-packages` builds them.
set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_NAME kiln)
set(CPACK_PACKAGE_VERSION ${PROJECT_VERSION})
set(CPACK_DEBIAN_PACKAGE_RELEASE 1)
set(CPACK_PACKAGE_CONTACT "Kiln maintainers <kiln@localhost.localdomain>" CACHE STRING "Who builds the packages")
set(CPACK_COMPONENTS_ALL kiln library development python)
set(CPACK_DEB_COMPONENT_INSTALL ON)
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "")  # each package has its own
set(CPACK_STRIP_FILES ON)
set(CPACK_PRE_BUILD_SCRIPTS ${CMAKE_CURRENT_SOURCE_DIR}/debian/finish.cmake)
set(CPACK_INSTALL_DEFAULT_DIRECTORY_PERMISSIONS
  OWNER_READ OWNER_WRITE OWNER_EXECUTE GROUP_READ GROUP_EXECUTE WORLD_READ WORLD_EXECUTE)

set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_COMPRESSION_TYPE xz)
set(CPACK_DEBIAN_PACKAGE_PRIORITY optional)
set(CPACK_DEBIAN_PACKAGE_CONTROL_STRICT_PERMISSION ON)
set(CPACK_DEBIAN_PACKAGE_GENERATE_SHLIBS ON)
set(CPACK_DEBIAN_PACKAGE_GENERATE_SHLIBS_POLICY ">=")
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS_PRIVATE_DIRS ${CMAKE_LIBRARY_OUTPUT_DIRECTORY})
set(own_version "= ${PROJECT_VERSION}-${CPACK_DEBIAN_PACKAGE_RELEASE}")
set(control ${CMAKE_CURRENT_SOURCE_DIR}/debian)

# A compiler and oneDNN's headers are what candidates are built with; procps has the unit's kill; sysusers and tmpfiles
# make the user and /run/kiln.
set(CPACK_DEBIAN_KILN_PACKAGE_NAME kiln)
set(CPACK_DEBIAN_KILN_PACKAGE_SECTION science)
set(CPACK_DEBIAN_KILN_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_KILN_PACKAGE_DEPENDS "libkiln0 (${own_version}), \
g++, libdnnl-dev, procps, init-system-helpers (>= 1.52), \
systemd | systemd-standalone-sysusers | systemd-sysusers, systemd | systemd-standalone-tmpfiles | systemd-tmpfiles")
set(CPACK_DEBIAN_KILN_PACKAGE_RECOMMENDS "openssl, openssh-client")
set(CPACK_DEBIAN_KILN_PACKAGE_SUGGESTS "python3-kiln")
set(CPACK_DEBIAN_KILN_PACKAGE_CONTROL_EXTRA
  "${control}/kiln/conffiles;${control}/kiln/postinst;${control}/kiln/prerm;${control}/kiln/postrm")
set(CPACK_COMPONENT_KILN_DESCRIPTION "kernel tuning appliance for isolated nodes
Measures what the node can do, writes kernels for the models that it runs,
proves them right against a double-precision oracle, and releases only what
is faster than what runs today. No network; every decision is on record,
signed and reversible.

This package holds the daemon kilnd, the operator's tool kctl, the kernel
templates and the policies.")

set(CPACK_DEBIAN_LIBRARY_PACKAGE_NAME libkiln0)
set(CPACK_DEBIAN_LIBRARY_PACKAGE_SECTION libs)
set(CPACK_DEBIAN_LIBRARY_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_LIBRARY_PACKAGE_CONTROL_EXTRA "${control}/libkiln0/triggers")
set(CPACK_COMPONENT_LIBRARY_DESCRIPTION "runs releases of Kiln
What inference processes link: loads a release directory that Kiln has tuned
for this node and runs its plan. Needs no daemon.")

set(CPACK_DEBIAN_DEVELOPMENT_PACKAGE_NAME libkiln-dev)
set(CPACK_DEBIAN_DEVELOPMENT_PACKAGE_SECTION libdevel)
set(CPACK_DEBIAN_DEVELOPMENT_PACKAGE_DEPENDS "libkiln0 (${own_version})")
set(CPACK_COMPONENT_DEVELOPMENT_DESCRIPTION "header and manual of libkiln
For programs that run releases of Kiln through its C interface.")

set(CPACK_DEBIAN_PYTHON_PACKAGE_NAME python3-kiln)
set(CPACK_DEBIAN_PYTHON_PACKAGE_SECTION python)
set(CPACK_DEBIAN_PYTHON_PACKAGE_ARCHITECTURE all)
set(CPACK_DEBIAN_PYTHON_PACKAGE_DEPENDS
  "libkiln0 (>= ${PROJECT_VERSION}), python3:any, python3-numpy")
set(CPACK_DEBIAN_PYTHON_PACKAGE_CONTROL_EXTRA "${control}/python3-kiln/postinst;${control}/python3-kiln/prerm")
set(CPACK_COMPONENT_PYTHON_DESCRIPTION "runs releases of Kiln from Python
Loads a release that Kiln has tuned for this node; NumPy arrays in, NumPy
arrays out.")

include(CPack)
