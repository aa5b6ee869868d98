// Carries the precompiled header of KilnCompile.cmake; a target that has one needs a source.
