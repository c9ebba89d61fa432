std = "luajit"
max_line_length = 120
max_comment_line_length = false
max_cyclomatic_complexity = 20
cache = false
self = false
unused_secondaries = false

exclude_files = { "build/**" }

files["tests/lua/**/*_spec.lua"] = { std = "+busted" }
files["tests/e2e/**/*_spec.lua"] = { std = "+busted" }
