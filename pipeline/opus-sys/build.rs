//! Compiles libopus from the sources that the registry package `opusic-sys` carries, with a C compiler alone.
//!
//! That package's own build script needs cmake; here its file lists (`*_sources.mk`) are read instead, and the
//! same switches set that its cmake build would set: float arithmetic, variable-length arrays on the stack (so that
//! nothing allocates per frame), hardening on, no neural networks.

use std::env;
use std::path::{Path, PathBuf};

/// Must be the version that Cargo.toml pins: its directory is looked up by name.
const PACKAGE: &str = "opusic-sys-0.7.7";
/// What `opus/package_version` must say, so that a wrong directory is noticed here and not at run time.
const VERSION: &str = "1.6.1";
/// Names the `opus` directory itself (the one that holds `celt_sources.mk`).
const OVERRIDE: &str = "OPUS_SOURCE_DIR";

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-env-changed={OVERRIDE}");
    println!("cargo:rerun-if-env-changed=CARGO_HOME");

    let source = source_directory();
    let arch = env::var("CARGO_CFG_TARGET_ARCH").unwrap_or_default();
    let unix = env::var_os("CARGO_CFG_UNIX").is_some();
    let celt = Lists::read(&source.join("celt_sources.mk"));
    let silk = Lists::read(&source.join("silk_sources.mk"));
    let opus = Lists::read(&source.join("opus_sources.mk"));

    let mut plain = base(&source, &arch, unix);
    let mut files: Vec<String> = Vec::new();
    files.extend(celt.get("CELT_SOURCES"));
    files.extend(silk.get("SILK_SOURCES"));
    files.extend(silk.get("SILK_SOURCES_FLOAT"));
    files.extend(opus.get("OPUS_SOURCES"));
    files.extend(opus.get("OPUS_SOURCES_FLOAT"));

    // Groups that need instructions the target does not guarantee: compiled with their own flags, chosen at run time.
    let mut groups: Vec<(&str, Vec<String>, &[&str])> = Vec::new();
    match arch.as_str() {
        "x86_64" => {
            files.extend(celt.get("CELT_SOURCES_X86_RTCD"));
            files.extend(silk.get("SILK_SOURCES_X86_RTCD"));
            files.extend(celt.get("CELT_SOURCES_SSE"));
            files.extend(celt.get("CELT_SOURCES_SSE2"));
            let mut sse41 = celt.get("CELT_SOURCES_SSE4_1");
            sse41.extend(silk.get("SILK_SOURCES_SSE4_1"));
            groups.push(("opus_sse41", sse41, &["-msse4.1"]));
            let mut avx2 = celt.get("CELT_SOURCES_AVX2");
            avx2.extend(silk.get("SILK_SOURCES_AVX2"));
            avx2.extend(silk.get("SILK_SOURCES_FLOAT_AVX2"));
            groups.push(("opus_avx2", avx2, &["-mavx", "-mavx2", "-mfma"]));
        }
        "aarch64" => {
            // NEON is part of the base architecture, so nothing has to be detected.
            files.extend(celt.get("CELT_SOURCES_ARM_NEON_INTR"));
            files.extend(silk.get("SILK_SOURCES_ARM_NEON_INTR"));
        }
        _ => {}
    }

    add(&mut plain, &source, &files);
    plain.compile("opus");
    for (name, files, flags) in groups {
        let mut group = base(&source, &arch, unix);
        for flag in flags {
            group.flag(flag);
        }
        add(&mut group, &source, &files);
        group.compile(name);
    }
    if unix {
        println!("cargo:rustc-link-lib=m");
    }
}

/// The compiler with everything that holds for each file.
fn base(source: &Path, arch: &str, unix: bool) -> cc::Build {
    let mut build = cc::Build::new();
    // Always fast: in the dev profile the codec is not what is being debugged, and calls must hold real time.
    build.opt_level(3).debug(false).warnings(false).extra_warnings(false);
    for directory in ["include", "celt", "silk", "silk/float", "."] {
        build.include(source.join(directory));
    }
    for (name, value) in [
        ("OPUS_BUILD", None),
        ("PACKAGE_VERSION", Some("\"1.6.1\"")),
        ("VAR_ARRAYS", None),
        ("HAVE_LRINT", None),
        ("HAVE_LRINTF", None),
        ("DISABLE_DEBUG_FLOAT", None),
        // Bounds checks inside the codec: it parses what strangers send.
        ("ENABLE_HARDENING", None),
    ] {
        build.define(name, value);
    }
    if unix {
        build.flag_if_supported("-fstack-protector-strong");
        build.define("_FORTIFY_SOURCE", "2");
        build.flag_if_supported("-fvisibility=hidden");
    }
    match arch {
        "x86_64" => {
            for name in [
                "OPUS_HAVE_RTCD",
                "CPU_INFO_BY_C",
                "OPUS_X86_MAY_HAVE_SSE",
                "OPUS_X86_PRESUME_SSE",
                "OPUS_X86_MAY_HAVE_SSE2",
                "OPUS_X86_PRESUME_SSE2",
                "OPUS_X86_MAY_HAVE_SSE4_1",
                "OPUS_X86_MAY_HAVE_AVX2",
            ] {
                build.define(name, None);
            }
        }
        "aarch64" => {
            build.include(source.join("silk/fixed"));
            for name in [
                "OPUS_ARM_MAY_HAVE_NEON",
                "OPUS_ARM_MAY_HAVE_NEON_INTR",
                "OPUS_ARM_PRESUME_NEON",
                "OPUS_ARM_PRESUME_NEON_INTR",
                "OPUS_ARM_PRESUME_AARCH64_NEON_INTR",
            ] {
                build.define(name, None);
            }
        }
        _ => {}
    }
    build
}

fn add(build: &mut cc::Build, source: &Path, files: &[String]) {
    for file in files {
        build.file(source.join(file));
    }
}

/// The `NAME = a.c b.c` lists of one `.mk` file, line continuations joined.
struct Lists(Vec<(String, Vec<String>)>, PathBuf);

impl Lists {
    fn read(path: &Path) -> Self {
        println!("cargo:rerun-if-changed={}", path.display());
        let text = std::fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        let lists = text
            .replace("\\\n", " ")
            .lines()
            .filter_map(|line| line.split_once('='))
            .map(|(name, files)| {
                (name.trim().to_owned(), files.split_whitespace().map(str::to_owned).collect())
            })
            .collect();
        Self(lists, path.to_owned())
    }

    fn get(&self, name: &str) -> Vec<String> {
        match self.0.iter().find(|(n, _)| n == name) {
            Some((_, files)) if !files.is_empty() => files.clone(),
            _ => panic!("{}: no list called {name}", self.1.display()),
        }
    }
}

/// The unpacked sources: an override, the registry of this cargo, or a vendored copy.
fn source_directory() -> PathBuf {
    if let Some(directory) = env::var_os(OVERRIDE).map(PathBuf::from) {
        assert!(is_opus(&directory), "{OVERRIDE}={} does not hold libopus {VERSION}", directory.display());
        return directory;
    }
    let mut looked = Vec::new();
    let mut candidates = Vec::new();

    let mut homes: Vec<PathBuf> = env::var_os("CARGO_HOME").map(PathBuf::from).into_iter().collect();
    if let Some(home) = env::var_os("HOME").or_else(|| env::var_os("USERPROFILE")) {
        homes.push(PathBuf::from(home).join(".cargo"));
    }
    for home in homes {
        let registries = home.join("registry").join("src");
        looked.push(registries.clone());
        candidates.extend(children(&registries).into_iter().map(|registry| registry.join(PACKAGE)));
    }

    // `cargo vendor` writes to a directory of the caller's choice: `vendor` beside a manifest above us is usual, and
    // a vendored copy of this crate itself has its siblings beside it.
    let manifest = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets it for build scripts"));
    for above in manifest.ancestors().skip(1) {
        for directory in [above.join("vendor"), above.to_owned()] {
            for name in [PACKAGE, "opusic-sys"] {
                candidates.push(directory.join(name));
            }
        }
        looked.push(above.join("vendor"));
    }

    if let Some(found) = candidates.into_iter().map(|package| package.join("opus")).find(|dir| is_opus(dir)) {
        return found;
    }
    panic!(
        "the sources of libopus {VERSION} (package {PACKAGE}) were found in none of {looked:?}; \
         run `cargo fetch`, or set {OVERRIDE} to the directory that holds celt_sources.mk"
    );
}

fn children(directory: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(directory) else { return Vec::new() };
    let mut found: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    // The order of a directory listing is the file system's whim; a build must not depend on it.
    found.sort();
    found
}

fn is_opus(directory: &Path) -> bool {
    std::fs::read_to_string(directory.join("package_version")).is_ok_and(|text| text.contains(VERSION))
}
