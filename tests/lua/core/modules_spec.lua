-- The first of package.loaders finds what is compiled in: a search by name, so the names must stand in order.
local find = package.loaders[1]

local function modules()
  local names = { "argparse" }
  for file in assert(io.popen "find lua/konductor koncli -name '*.lua'"):lines() do
    local name = file:gsub("^lua/", ""):gsub("%.lua$", ""):gsub("/init$", ""):gsub("/", ".")
    if name ~= "konductor.library" then -- for editors only
      names[#names + 1] = name
    end
  end
  return names
end

describe("a module compiled in", function()
  for _, name in ipairs(modules()) do
    it("is found: " .. name, function()
      assert.is_function(find(name))
    end)
  end

  it("is not found under a name before, between or behind all others", function()
    for _, name in ipairs { "", "a", "konductor.", "konductor.cli.run ", "konductor/once", "zzz" } do
      assert.is_nil(find(name))
    end
  end)

  it("shows its file in a traceback", function()
    local ok, trace = xpcall(function() require("konductor.duration").format({}) end, debug.traceback)
    assert.is_false(ok)
    assert.matches("konductor/duration.lua:%d+: in function", trace)
  end)
end)
