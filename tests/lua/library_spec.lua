--- The definitions for editors say neither more nor less than the code.

local konductor = require "konductor.init"
local schema = require "konductor.api.schema"
local sim = require "konductor.sim.world"
local text = require "konductor.text"

local function read(path)
  local file = assert(io.open(path))
  local content = file:read "*a"
  file:close()
  return content
end

local LIBRARY = read "lua/konductor/library.lua"

--- Names of the fields of a class in the definitions.
local function fields_of(class)
  local block = assert(("\n" .. LIBRARY):match("\n%-%-%-@class " .. class:gsub("%p", "%%%0") .. "\n(.-)\n[^-]"), class)
  local list = {}
  for name in ("\n" .. block .. "\n"):gmatch "\n%-%-%-@field ([%w_]+)" do
    list[#list + 1] = name
  end
  table.sort(list)
  return list
end

local function options_of(kind)
  local list = {}
  for key in text.spairs(schema.schemas[kind]) do
    if type(key) == "string" then
      list[#list + 1] = key
    end
  end
  return list
end

describe("the definitions for editors", function()
  local classes = {
    flow = "FlowOptions", stage = "StageOptions", once = "OnceOptions", once_run = "OnceRunOptions",
    once_wait = "OnceWaitOptions",
    lease = "LeaseOptions", with = "WithOptions", main = "MainOptions", exec = "Exec", policy = "PolicyOptions",
    policy_with = "PolicyWithOptions",
  }
  for kind, class in text.spairs(classes) do
    it("know the options of " .. class, function()
      assert.same(options_of(kind), fields_of("konductor." .. class))
    end)
  end

  it("leave no table of options out", function()
    for kind in text.spairs(schema.schemas) do
      assert.is_string(classes[kind], kind)
    end
  end)

  it("name every function of the library, and no other", function()
    local s = sim.new {}
    local library
    s:start("a", function(w)
      library = konductor.new { world = w, environ = {}, json = {}, sources = {} }
    end)
    s:run_for(1)
    local made, told = {}, { command = true, holder = true, session = true }
    for name in pairs(library) do
      made[name] = true
    end
    for name in LIBRARY:gmatch "\nfunction k%.([%w_]+)%(" do
      told[name] = true
    end
    for name in LIBRARY:gmatch "\nk%.([%w_]+) = {}" do
      told[name] = true
    end
    made.command = true
    assert.same(told, made)
  end)

  it("are Lua", function()
    assert(loadstring(LIBRARY))
  end)
end)
