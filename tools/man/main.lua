--- What is known of the programs and the library, as pages and as man pages. Run in the root of the tree:
---
---   luajit tools/man/main.lua pages [DIR]         writes commands.md, functions.md and scripts.md, to docs/reference/
---   luajit tools/man/main.lua man DIR VERSION     writes the man pages to DIR, from the pages of docs/reference/
---
--- These pages are committed, and tests/e2e/test_reference.py notices when they are not what the sources say. The man
--- pages are not: the build makes them.

package.path = "tools/man/?.lua;lua/?.lua;lua/?/init.lua;?.lua;/usr/share/lua/5.1/?.lua;" .. package.path

local function write(path, text)
  local file = assert(io.open(path, "w"))
  assert(file:write(text))
  assert(file:close())
end

if arg[1] == "pages" then
  local to = arg[2] or "docs/reference"
  write(to .. "/commands.md", require("commands").page())
  write(to .. "/functions.md", require("functions").page())
  write(to .. "/scripts.md", require("scripts").page())
elseif arg[1] == "man" and arg[3] then
  local manual = require "manual"
  for _, each in ipairs(manual.MANUALS) do
    write(("%s/%s.%d"):format(arg[2], each.name, each.section), manual.text(each, arg[3]))
  end
else
  io.stderr:write("usage: luajit tools/man/main.lua pages [DIR] | man DIR VERSION\n")
  os.exit(64)
end
