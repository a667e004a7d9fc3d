//! Plants mistakes in kernels, one at a time, and holds each against the conformance cases of its family on the stand-in driver.
//!
//! `mutants --cli OMNIHAL --driver LIBFAKE_CUDA [--find] [--part I/N] [FAMILY ...]`: the mistakes are those of `mutants/<family>.tsv` (id, file, old text, new text, what
//! goes wrong; the old text occurs once in its file). `mutants/killed.tsv` says for each which case kills it in which order of threads; that case is run again, on the true
//! kernels and on the changed ones. With `--find` the case is looked for and the file is written. A part takes every nth mistake.

#[path = "mutants/plan.rs"]
mod plan;

use omnihal_cuda::kernels::{Compiler, FOLDER, build, sources};
use plan::{Killer, Mutant, killers, mutants, write_killers};
use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

type Outcome<T> = Result<T, Box<dyn Error>>;

/// Orders of the threads of a block, as the stand-in takes them.
const ORDERS: [&str; 3] = ["forward", "reverse", "7"];
/// Longest time of a case in seconds: some ten times what the slowest takes with true kernels.
const LONGEST: &str = "60";

struct Bench {
    cli: PathBuf,
    /// Holds the driver under its real name.
    driver: PathBuf,
    work: PathBuf,
}

fn main() -> ExitCode {
    match run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Outcome<bool> {
    let (mut cli, mut driver, mut find, mut part, mut wanted) = (None, None, false, (1, 1), Vec::new());
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--cli" => cli = args.next(),
            "--driver" => driver = args.next(),
            "--find" => find = true,
            "--part" => part = args.next().as_deref().and_then(part_of).ok_or("--part needs one such as 2/10")?,
            family => wanted.push(family.to_owned()),
        }
    }
    let work = std::env::temp_dir().join(format!("omnihal-cuda-mutants-{}", std::process::id()));
    std::fs::create_dir(&work)?;
    let bench = Bench { cli: cli.ok_or("--cli is needed")?.into(), driver: work.join("driver"), work };
    std::fs::create_dir(&bench.driver)?;
    std::fs::copy(driver.ok_or("--driver is needed")?, bench.driver.join("libcuda.so.1"))?;
    let all = mutants(&wanted)?.into_iter().skip(part.0 - 1).step_by(part.1).collect::<Vec<_>>();
    let mut known = killers()?;
    let result = bench.all(&all, &mut known, find);
    std::fs::remove_dir_all(&bench.work)?;
    result
}

/// Part i of n.
fn part_of(text: &str) -> Option<(usize, usize)> {
    let (part, parts) = text.split_once('/')?;
    let found = (part.parse().ok()?, parts.parse().ok()?);
    (1 <= found.0 && found.0 <= found.1).then_some(found)
}

impl Bench {
    /// Two mistakes at a time, as CI has two processors.
    fn all(&self, all: &[Mutant], known: &mut BTreeMap<String, Killer>, find: bool) -> Outcome<bool> {
        let families: BTreeSet<_> = all.iter().map(|m| m.family.as_str()).collect();
        self.build_true(&families)?;
        for family in families.iter().filter(|_| find) {
            let words = self.words(family, &self.images("true"), ORDERS[0], true)?;
            if !words.contains(" PASS") || words.contains("UNSUPPORTED") || first_failure(&words).is_some() {
                return Err(format!("the true kernels of {family} do not pass their cases:\n{words}").into());
            }
        }
        let mut survivors = 0;
        for pair in all.chunks(2) {
            let found: Vec<_> = std::thread::scope(|scope| {
                let tasks: Vec<_> = pair
                    .iter()
                    .map(|m| {
                        let killer = known.get(&m.id).cloned();
                        scope.spawn(move || self.one(m, killer, find).map_err(|e| e.to_string()))
                    })
                    .collect();
                tasks.into_iter().map(|t| t.join().unwrap_or_else(|_| Err("a thread failed".to_owned()))).collect()
            });
            for (m, found) in pair.iter().zip(found) {
                match found {
                    Err(error) => {
                        println!("BROKEN   {:<46} {error}", m.id);
                        survivors += 1;
                    }
                    Ok(Some(killer)) => {
                        println!("killed   {:<46} {} {}", m.id, killer.order, killer.case);
                        known.insert(m.id.clone(), killer);
                        if find {
                            write_killers(known)?;
                        }
                    }
                    Ok(None) => {
                        println!("SURVIVES {:<46} {}", m.id, m.what);
                        survivors += 1;
                    }
                }
            }
        }
        println!("{} of {} planted mistakes killed", all.len() - survivors, all.len());
        Ok(survivors == 0)
    }

    /// The unchanged images, those of half of the families in a thread of their own.
    fn build_true(&self, families: &BTreeSet<&str>) -> Outcome<()> {
        let images = self.images("true");
        std::fs::create_dir(&images)?;
        let all: Vec<_> = families.iter().collect();
        std::thread::scope(|scope| {
            let tasks: Vec<_> = (0..2)
                .map(|half| {
                    let mine: Vec<_> = all.iter().skip(half).step_by(2).map(|family| **family).collect();
                    let images = &images;
                    scope.spawn(move || build(&host(), images, &["sm_90a"], None, &|family| mine.contains(&family)))
                })
                .collect();
            tasks.into_iter().try_for_each(|t| t.join().map_err(|_| "a thread failed")?.map_err(Into::into))
        })
    }

    fn images(&self, name: &str) -> PathBuf {
        self.work.join(format!("images-{name}"))
    }

    /// The case that kills a mistake, if one does.
    fn one(&self, m: &Mutant, known: Option<Killer>, find: bool) -> Outcome<Option<Killer>> {
        let (texts, images) = (self.work.join(format!("text-{}", m.id)), self.images(&m.id));
        std::fs::create_dir(&texts)?;
        for (name, text) in sources(&m.family)? {
            let text = if name == m.file { m.plant(text)? } else { text.to_owned() };
            std::fs::write(texts.join(name), text)?;
        }
        // A case loads the kernels of its own operator's family only.
        build(&host(), &images, &["sm_90a"], Some(&texts), &|family| family == m.family)?;
        let found = match known {
            Some(killer) if self.replay(&images, &killer)? => match self.replay(&self.images("true"), &killer)? {
                false => Some(killer),
                true => return Err(format!("{}: the true kernels fail {} too", m.id, killer.case).into()),
            },
            _ if find => self.search(m, &images)?,
            _ => None,
        };
        std::fs::remove_dir_all(images)?;
        Ok(found)
    }

    fn command(&self, images: &Path, order: &str) -> Command {
        let mut command = Command::new(&self.cli);
        command.env("LD_LIBRARY_PATH", &self.driver).env(FOLDER, images).env("FAKE_CUDA_ORDER", order);
        command.args(["conform", "--backend", "cuda", "--case-timeout", LONGEST]);
        command
    }

    /// True if the case was run and did not pass.
    fn replay(&self, images: &Path, killer: &Killer) -> Outcome<bool> {
        let output = self.command(images, &killer.order).args(["--replay", &killer.case]).output()?;
        let words = String::from_utf8_lossy(&output.stdout);
        match words.contains("PASS ") || first_failure(&words).is_some() {
            true => Ok(first_failure(&words).is_some()),
            false => {
                Err(format!("{} was not run:\n{words}{}", killer.case, String::from_utf8_lossy(&output.stderr)).into())
            }
        }
    }

    /// What the kit says of a family's cases.
    fn words(&self, family: &str, images: &Path, order: &str, quick: bool) -> Outcome<String> {
        let mut command = self.command(images, order);
        command.args(["--profile", "core", "--profile", "v4", "--profile", "v4-quant", "--jobs", "1"]);
        command.args(quick.then_some("--quick"));
        command.arg("--filter").arg(format!("{family}.*")).arg("--out").arg(images.join("report"));
        Ok(String::from_utf8_lossy(&command.output()?.stdout).into_owned())
    }

    /// The first case that does not pass, in any order: of the short ones, then of all.
    fn search(&self, m: &Mutant, images: &Path) -> Outcome<Option<Killer>> {
        for quick in [true, false] {
            for order in ORDERS {
                if let Some(case) = first_failure(&self.words(&m.family, images, order, quick)?) {
                    return Ok(Some(Killer { order: order.to_owned(), case }));
                }
            }
        }
        Ok(None)
    }
}

/// The first case that the kit's words name as not passed.
fn first_failure(words: &str) -> Option<String> {
    words.lines().find_map(|line| {
        let (outcome, case) = line.split_once(char::is_whitespace)?;
        ["FAIL", "CRASH", "TIMEOUT"].contains(&outcome).then(|| case.trim().to_owned())
    })
}

fn host() -> Compiler {
    // Compiling takes longer than running the cases.
    Compiler::Host("c++".into(), vec!["-O1".to_owned()])
}
