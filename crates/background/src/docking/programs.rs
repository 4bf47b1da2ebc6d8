//! Open Babel and Vina, as processes.
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};

use tokio::process::Command;

use super::ligand::Ligand;
use crate::Error;

const OBABEL: &str = "obabel";
const VINA: &str = "vina";

/// Where the programs work, and on what.
#[derive(Debug, Clone)]
pub(super) struct Bench {
    /// The protein, uncompressed.
    receptor: PathBuf,
    /// Vina's own file that says where in the protein to search.
    site: PathBuf,
    /// A folder for what is made meanwhile.
    scratch: PathBuf,
    /// How hard Vina searches.
    exhaustiveness: u32,
}

impl Bench {
    /// Puts the protein into the scratch folder, and makes sure that both programs can be run.
    pub(super) async fn prepare(
        receptor: &Path,
        site: &Path,
        scratch: &Path,
        exhaustiveness: u32,
    ) -> Result<Self, Error> {
        std::fs::metadata(site).map_err(Error::file("read", site))?;
        let bytes = std::fs::read(receptor).map_err(Error::file("read", receptor))?;
        let mut protein = Vec::new();
        if receptor.extension().is_some_and(|e| e == "gz") {
            flate2::read::GzDecoder::new(bytes.as_slice())
                .read_to_end(&mut protein)
                .map_err(Error::file("read", receptor))?;
        } else {
            protein = bytes;
        }
        let place = scratch.join("receptor.pdbqt");
        std::fs::write(&place, protein).map_err(Error::file("write", &place))?;
        for (program, question) in [(OBABEL, "-V"), (VINA, "--version")] {
            run(program, Command::new(program).arg(question)).await?;
        }
        Ok(Self {
            receptor: place,
            site: site.to_owned(),
            scratch: scratch.to_owned(),
            exhaustiveness,
        })
    }

    /// Gives a molecule's atoms their places, once: hydrogens as in blood (pH 7.4), a quick relaxation.
    pub(super) async fn shape(&self, ligand: &Ligand) -> Result<PathBuf, Error> {
        let made = self.scratch.join(format!("{}.pdbqt", ligand.name));
        if made.exists() {
            return Ok(made);
        }
        // Another worker may do the same at the same time; each has a file of its own until it is whole.
        let file = tempname(&self.scratch, &ligand.name);
        let output = run(
            OBABEL,
            Command::new(OBABEL)
                .arg(format!("-:{}", ligand.smiles))
                .args(["-opdbqt", "--gen3d", "--fast", "-p", "7.4", "-O"])
                .arg(&file),
        )
        .await?;
        // It says what went wrong on stderr and ends with 0 all the same.
        let written = std::fs::metadata(&file).is_ok_and(|m| m.len() > 0);
        if !output.status.success() || !written {
            return Err(failed(OBABEL, ligand, &output));
        }
        std::fs::rename(&file, &made).map_err(Error::file("write", &made))?;
        Ok(made)
    }

    /// Docks a molecule; the energy of the best place, in kcal/mol.
    pub(super) async fn dock(&self, ligand: &Ligand, shape: &Path, seed: u32) -> Result<f64, Error> {
        let out = tempname(&self.scratch, &format!("{}-docked", ligand.name));
        let output = run(
            VINA,
            Command::new(VINA)
                .arg("--config")
                .arg(&self.site)
                .arg("--receptor")
                .arg(&self.receptor)
                .arg("--ligand")
                .arg(shape)
                .arg("--out")
                .arg(&out)
                .args(["--cpu", "1", "--seed", &seed.to_string()])
                .args(["--exhaustiveness", &self.exhaustiveness.to_string()]),
        )
        .await?;
        let text = std::fs::read_to_string(&out).unwrap_or_default();
        // What Vina found is told by metrics; places of atoms are for people who ask for them.
        let _ = std::fs::remove_file(&out);
        match best(&text) {
            Some(energy) if output.status.success() => Ok(energy),
            _ => Err(failed(VINA, ligand, &output)),
        }
    }
}

/// The energy of the first, best model of Vina's output: `REMARK VINA RESULT:   -10.229      0.000      0.000`.
fn best(text: &str) -> Option<f64> {
    let mut lines = text.lines();
    let rest = lines.find_map(|line| line.strip_prefix("REMARK VINA RESULT:"))?;
    rest.split_whitespace().next()?.parse().ok()
}

fn tempname(folder: &Path, name: &str) -> PathBuf {
    use std::sync::atomic::{AtomicU64, Ordering};
    static NEXT: AtomicU64 = AtomicU64::new(0);
    folder.join(format!(
        "{name}.{}.part.pdbqt",
        NEXT.fetch_add(1, Ordering::Relaxed)
    ))
}

async fn run(program: &'static str, command: &mut Command) -> Result<Output, Error> {
    command.stdin(Stdio::null()).kill_on_drop(true);
    command
        .output()
        .await
        .map_err(|source| Error::Program { program, source })
}

fn failed(program: &'static str, ligand: &Ligand, output: &Output) -> Error {
    let said = [&output.stderr, &output.stdout].map(|b| String::from_utf8_lossy(b).into_owned());
    let last = said
        .iter()
        .find_map(|text| text.lines().rfind(|l| !l.trim().is_empty()));
    Error::Docking {
        program,
        ligand: ligand.name.clone(),
        reason: format!("{}, {}", output.status, last.map_or("it said nothing", str::trim)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_result_is_the_best() {
        let text = "MODEL 1\nREMARK VINA RESULT:   -10.229      0.000      0.000\nREMARK INTER\nMODEL 2\nREMARK VINA RESULT: -9.9 1 2\n";
        assert_eq!(best(text), Some(-10.229));
        assert_eq!(best("MODEL 1\n"), None);
    }
}
