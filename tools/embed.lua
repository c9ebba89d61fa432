-- Writes the Lua modules (as bytecode with line numbers) and the ready-made scripts (as text)
-- into one C file, each kind sorted by name: luajit tools/embed.lua OUT.c MODULE=FILE... -- SCRIPT=FILE...
-- Run in the directory that FILE is relative to: a chunk is named "@FILE" in tracebacks, without
-- a leading "../".

local function read(path)
  local file = assert(io.open(path, "rb"))
  local text = file:read("*a")
  file:close()
  return text
end

local function bytes(data)
  local out = {}
  for i = 1, #data, 20 do
    local line = { data:byte(i, i + 19) }
    out[#out + 1] = table.concat(line, ",")
  end
  return table.concat(out, ",\n")
end

local function compile(path)
  local chunk = assert(loadstring(read(path), "@" .. path:gsub("^%.%./", "")))
  return string.dump(chunk, false)
end

local out = assert(io.open(arg[1], "wb"))
out:write('#include "vm.h"\n\n')

local tables, section = { {}, {} }, 1
for i = 2, #arg do
  if arg[i] == "--" then
    section = 2
  else
    local name, path = assert(arg[i]:match("^([^=]+)=(.+)$"))
    local data = section == 1 and compile(path) or read(path)
    local symbol = ("blob_%d_%d"):format(section, #tables[section])
    out:write(("static const unsigned char %s[] = {\n%s};\n"):format(symbol, #data > 0 and bytes(data) or "0"))
    local row = ('\t{"%s", (const char *)%s, %d},'):format(name, symbol, #data)
    table.insert(tables[section], { name = name, row = row })
  end
end

for i, name in ipairs { "kon_embedded_modules", "kon_embedded_scripts" } do
  local rows = {}
  table.sort(tables[i], function(a, b) return a.name < b.name end)
  for j, entry in ipairs(tables[i]) do
    rows[j] = entry.row
  end
  out:write(("\nconst struct kon_blob %s[] = {\n%s\n\t{0, 0, 0},\n};\n"):format(name, table.concat(rows, "\n")))
end
out:write(("\nconst size_t kon_embedded_modules_count = %d;\n"):format(#tables[1]))
out:close()
