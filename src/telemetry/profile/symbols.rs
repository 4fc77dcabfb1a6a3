//! The functions at an address.
//!
//! Line tables, which are all the debug information that release builds carry, know what was inlined where but functions only by their
//! short names (`run`, `poll`); the program's symbol table knows the whole path of what was not inlined. Both are used.

use std::collections::HashMap;
use std::ffi::CStr;
use std::fs::File;

use backtrace::SymbolName;
use object::{Object, ObjectKind, ObjectSymbol, ReadCache, SymbolKind};

/// Code without a symbol.
pub(super) const UNKNOWN: &str = "[unknown]";
/// Marks an inlined function, as the tools around flamegraphs do.
const INLINED: &str = "_[i]";

/// Names of addresses, each looked up once.
pub(super) struct Names {
    program: Option<Program>,
    known: HashMap<usize, Vec<String>>,
}

impl Names {
    /// Reads the program's symbol table; without one (a stripped program) line tables must do.
    pub(super) fn new() -> Self {
        Self { program: Program::read(), known: HashMap::new() }
    }

    pub(super) fn learn(&mut self, address: usize) {
        let program = self.program.as_ref();
        self.known.entry(address).or_insert_with(|| resolve(address, program));
    }

    /// The functions at a return address that was learnt, innermost first.
    pub(super) fn of(&self, address: usize) -> impl Iterator<Item = &str> {
        self.known.get(&address).into_iter().flatten().map(String::as_str)
    }
}

fn resolve(address: usize, program: Option<&Program>) -> Vec<String> {
    let mut names = Vec::new();
    backtrace::resolve(address as *mut _, |symbol| {
        names.push(symbol.name().map_or_else(|| UNKNOWN.to_owned(), |name| readable(&name)));
    });
    if names.is_empty() {
        names.push(UNKNOWN.to_owned());
    }
    let whole = match (program, loaded(address)) {
        (Some(program), Some((base, _))) if base == program.base => program.function(address),
        // Code without any other description, like the kernel's own page of clock functions.
        (_, Some((_, exported))) if names == [UNKNOWN] => exported,
        _ => None,
    };
    if let (Some(last), Some(whole)) = (names.last_mut(), whole) {
        *last = whole;
    }
    let inlined = names.len() - 1;
    names[..inlined].iter_mut().for_each(|name| name.push_str(INLINED));
    names
}

/// Demangled, without the hash; `;` separates frames.
fn readable(name: &SymbolName<'_>) -> String {
    format!("{name:#}").replace(';', ",")
}

/// Where the program or library was loaded that this address is in, and the exported symbol before it.
fn loaded(address: usize) -> Option<(usize, Option<String>)> {
    // SAFETY: all zeros is a valid `Dl_info`, which is filled in; the names are C strings that live as long as what they are in is loaded.
    unsafe {
        let mut info: libc::Dl_info = std::mem::zeroed();
        if libc::dladdr(address as *const libc::c_void, &mut info) == 0 {
            return None;
        }
        let text = |at: *const libc::c_char| {
            (!at.is_null()).then(|| CStr::from_ptr(at).to_string_lossy().into_owned())
        };
        let file =
            text(info.dli_fname).map(|path| format!("[{}]", path.rsplit('/').next().unwrap_or_default()));
        Some((info.dli_fbase as usize, text(info.dli_sname).or(file)))
    }
}

/// The functions of the running program's symbol table.
struct Program {
    /// Where it was loaded.
    base: usize,
    /// From an address in the table to one in memory.
    bias: usize,
    /// First address and name, in order.
    functions: Vec<(usize, String)>,
}

impl Program {
    fn read() -> Option<Self> {
        let (base, _) = loaded(Self::read as *const () as usize)?;
        // Reads the two tables, not the debug information, which is most of the file.
        let file = ReadCache::new(File::open("/proc/self/exe").ok()?);
        let elf = object::File::parse(&file).ok()?;
        let bias = if elf.kind() == ObjectKind::Dynamic { base } else { 0 };
        let functions = elf.symbols().filter(|s| s.kind() == SymbolKind::Text && s.is_definition());
        let named = functions.filter_map(|s| Some((s.address() as usize, s.name().ok()?.to_owned())));
        let mut functions: Vec<_> = named.collect();
        functions.sort();
        (!functions.is_empty()).then_some(Self { base, bias, functions })
    }

    fn function(&self, address: usize) -> Option<String> {
        let at = address - self.bias;
        let after = self.functions.partition_point(|(first, _)| *first < at);
        let (_, name) = self.functions.get(after.checked_sub(1)?)?;
        Some(readable(&SymbolName::new(name.as_bytes())))
    }
}
