"""The list of what is linked into the image's program: that it is SPDX 2.3, complete, and true."""

import hashlib
import json
import re
import unittest

from image.container import ROOT
from image.test_image import ImageTest

# SPDX 2.3: what each element must have, and the form of it.
DOCUMENT = {
    "spdxVersion": r"SPDX-2\.3", "dataLicense": r"CC0-1\.0", "SPDXID": r"SPDXRef-DOCUMENT", "name": r".+",
    "documentNamespace": r"[a-z][a-z0-9+.-]*:[^#\s]+",
}
PACKAGE = {
    "SPDXID": r"SPDXRef-[A-Za-z0-9.-]+", "name": r".+", "versionInfo": r".+", "downloadLocation": r"NOASSERTION|NONE|\S+:\S+",
    "licenseConcluded": r"NOASSERTION", "licenseDeclared": r"NOASSERTION|LicenseRef-[A-Za-z0-9.-]+",
    "copyrightText": r"NOASSERTION", "supplier": r"NOASSERTION|(Person|Organization): .+",
}
NOTICE = {"licenseId": r"LicenseRef-[A-Za-z0-9.-]+", "name": r".+", "extractedText": r"[\s\S]{200,}"}
RELATIONS = {"DESCRIBES", "STATIC_LINK", "CONTAINS"}
# How libraries that `konductor version` does not tell name themselves in the program, %s being upstream's version.
SPOKEN = {"openssl": r"OpenSSL %s .*", "nghttp2": r"%s", "c-ares": r"%s", "sqlite3": r"%s"}
# Names that `konductor version` has for the sources.
TOLD = {"cjson": "cjson", "curl": "curl", "luajit": "luajit", "sqlite": "sqlite3", "yaml": "libyaml"}


class Sbom(ImageTest):
    def setUp(self):
        super().setUp()
        self.sbom = json.loads((self.image.root / "usr/share/sbom/konductor.spdx.json").read_text(encoding="utf-8"))
        self.packages = {package["name"]: package for package in self.sbom["packages"]}
        self.program = (self.image.root / "konductor").read_bytes()

    def has_form(self, element, form):
        for field, pattern in form.items():
            self.assertRegex(element.get(field, ""), rf"\A(?:{pattern})\Z", f"{field} of {element.get('name')}")

    def upstream(self, name):
        """A Debian version without epoch, revision and what Debian did to upstream's."""
        version = self.packages[name]["versionInfo"].split(":", 1)[-1].rsplit("-", 1)[0]
        return version.split("+")[0].replace("~", "-")

    def test_it_has_what_the_format_asks_for(self):
        self.has_form(self.sbom, DOCUMENT)
        creation = self.sbom["creationInfo"]
        self.assertRegex(creation["created"], r"\A\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ\Z")
        self.assertTrue(creation["creators"])
        for creator in creation["creators"]:
            self.assertRegex(creator, r"\A(Person|Organization|Tool): .+")
        for package in self.sbom["packages"]:
            self.has_form(package, PACKAGE)
            self.assertIs(package["filesAnalyzed"], False) # else it must have a verification code
        for notice in self.sbom["hasExtractedLicensingInfos"]:
            self.has_form(notice, NOTICE)

    def test_what_it_refers_to_is_in_it(self):
        ids = [self.sbom["SPDXID"], *(package["SPDXID"] for package in self.sbom["packages"])]
        self.assertEqual(len(ids), len(set(ids)))
        for relation in self.sbom["relationships"]:
            self.assertIn(relation["relationshipType"], RELATIONS)
            self.assertLessEqual({relation["spdxElementId"], relation["relatedSpdxElement"]}, set(ids))
        related = [relation["relatedSpdxElement"] for relation in self.sbom["relationships"]]
        self.assertEqual(sorted(ids[1:]), sorted(related))
        notices = [notice["licenseId"] for notice in self.sbom["hasExtractedLicensingInfos"]]
        declared = [package["licenseDeclared"] for package in self.sbom["packages"] if package["name"] != "konductor"]
        self.assertEqual(sorted(notices), sorted(declared))

    def test_it_describes_this_program(self):
        own, checksum = self.packages["konductor"], hashlib.sha256(self.program).hexdigest()
        self.assertEqual([{"algorithm": "SHA256", "checksumValue": checksum}], own["checksums"])
        described = [each["relatedSpdxElement"] for each in self.sbom["relationships"]
                     if each["relationshipType"] == "DESCRIBES"]
        self.assertEqual([own["SPDXID"]], described)

    def test_its_versions_are_those_that_the_program_tells(self):
        told = json.loads(self.run_well("version", "-o", "json"))
        self.assertEqual(told.pop("konductor"), self.packages["konductor"]["versionInfo"])
        listed = {name: self.upstream(TOLD[name]) for name in told}
        self.assertEqual({name: version.removeprefix("LuaJIT ") for name, version in told.items()}, listed)

    def test_its_versions_are_those_of_the_texts_in_the_program(self):
        texts = [text.decode() for text in re.findall(rb"[ -~]{5,}", self.program)]
        for name, pattern in SPOKEN.items():
            wanted = re.compile(pattern % re.escape(self.upstream(name)))
            self.assertTrue(any(wanted.fullmatch(text) for text in texts), f"{name} {self.upstream(name)}")

    def test_every_library_that_the_build_names_is_listed(self):
        """And every file that is listed is of one package."""
        text = (ROOT / "cmake/static.cmake").read_text(encoding="utf-8")
        wanted = set(re.findall(r"/lib/(lib\w+\.a)", text))
        wanted |= {f"lib{name}.a" for name in re.search(r"foreach\(name ([^)]*)\)", text)[1].split()}
        listed = [file for package in self.sbom["packages"] if "sourceInfo" in package
                  for file in package["sourceInfo"].split(": ", 1)[1].split(", ")]
        self.assertEqual(len(listed), len(set(listed)))
        self.assertLessEqual(wanted | {"libc.a", "libgcc.a", "argparse.lua"}, set(listed))

    def test_a_scanner_finds_each_library_by_debians_name_and_version(self):
        for name, package in self.packages.items():
            if name != "konductor":
                reference, = package["externalRefs"]
                self.assertEqual(("PACKAGE-MANAGER", "purl"), (reference["referenceCategory"], reference["referenceType"]))
                version = re.sub(r"[^\w.~-]", lambda found: f"%{ord(found[0]):02X}", package["versionInfo"])
                wanted = rf"pkg:deb/[a-z]+/{re.escape(name)}@{re.escape(version)}\?arch=source&distro=[a-z]+-[\d.]+"
                self.assertRegex(reference["referenceLocator"], rf"\A{wanted}\Z")


if __name__ == "__main__":
    unittest.main()
