local globals = require "konductor.globals"

local function scan(source)
  return globals.unknown(assert(loadstring(source)), function(name) return name == "print" end)
end

local function names(unknown)
  local list = {}
  for i, use in ipairs(unknown) do
    list[i] = use.name .. ":" .. use.line .. (use.set and "=" or "")
  end
  return table.concat(list, " ")
end

describe("unknown globals", function()
  it("are found in the chunk and in functions inside functions", function()
    assert.equal("a:1 b:2 c:3", names(scan "print(a)\nlocal f = function() return b,\nfunction() return c end end"))
  end)

  it("are not those that the chunk assigns at its own level, wherever they are used", function()
    local unknown, assigned = scan "local function f() return x end\nx = 1\nfunction y() return f() end\nprint(y)"
    assert.equal("", names(unknown))
    assert.same({ x = true, y = true }, assigned)
  end)

  it("are assignments inside functions, even to known names", function()
    assert.equal("print:1= x:2=", names(scan "local function f() print = 1\nx = 2 end"))
  end)

  it("are told once a line", function()
    assert.equal("a:1 a:2", names(scan "print(a, a)\nprint(a)"))
  end)
end)

describe("fields", function()
  it("that are read by name are told", function()
    local _, _, fields = scan "local k = {}\nlocal function f() return k.command end\nk.set = k['by-key']"
    assert.same({ command = true, ["by-key"] = true }, fields)
  end)
end)
